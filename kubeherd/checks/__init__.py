"""Promises checked on recorded histories: pure, and independent of the code that keeps them."""
