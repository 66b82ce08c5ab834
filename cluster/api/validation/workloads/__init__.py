"""Validation of workloads: what makes pods, and what scales it.

Imported with the first object of its kinds.
"""
