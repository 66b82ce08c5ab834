"""Promises that hold at every write, judged from the writes alone."""
