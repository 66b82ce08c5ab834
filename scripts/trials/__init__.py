"""Clients under faults: whose, what hurts them, what they make of it."""
