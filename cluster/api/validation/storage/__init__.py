"""Validation of volumes, claims and their classes.

Imported with the first object of its kinds.
"""
