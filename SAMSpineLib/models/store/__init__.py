"""The user's folder of checkpoints: downloaded or added, converted to safetensors, found by name. Knows no network."""
