"""Deletion of namespaces and of what is in them. Spec: api-machinery, section 8."""
