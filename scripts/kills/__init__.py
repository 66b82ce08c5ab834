"""API servers that are killed time and again: what is done to them, and what clients saw."""
