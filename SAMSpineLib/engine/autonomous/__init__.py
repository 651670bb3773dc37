"""Autonomous mode: from a volume to prompts, and from prompts to named vertebrae, without a human."""
