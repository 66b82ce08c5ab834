"""Earlier moments of a herd, bounded in bytes."""
