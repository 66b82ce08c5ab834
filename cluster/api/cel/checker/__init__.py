"""Types: what every part of an expression is, and what does not fit."""
