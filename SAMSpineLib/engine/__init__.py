"""What turns prompts into masks: the session, its cache, its walk across patches."""
