"""Expressions of admission: policies, mutations and match conditions over Kubernetes' own kinds."""
