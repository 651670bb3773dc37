"""Atlases, registration and label propagation."""
