"""Validation of pods.

Imported with the first object of its kinds.
"""
