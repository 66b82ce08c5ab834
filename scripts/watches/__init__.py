"""Watchers of every kind that record what they were told."""
