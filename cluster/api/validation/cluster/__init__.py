"""Validation of nodes, namespaces, roles, quotas and what else a cluster is made of.

Imported with the first object of its kinds.
"""
