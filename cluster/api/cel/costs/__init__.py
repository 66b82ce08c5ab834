"""What expressions can cost at most, and what they have cost."""
