"""Sam2Rad: prompts that a network has learnt, for a SAM that stays as it is."""
