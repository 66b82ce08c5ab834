"""Checked expressions as Python functions, and the values that these see."""
