"""Validation of who is asked before a write: policies and webhooks.

Imported with the first object of its kinds.
"""
