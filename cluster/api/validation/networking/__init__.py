"""Validation of services, their endpoints and what leads to them.

Imported with the first object of its kinds.
"""
