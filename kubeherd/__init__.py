"""A Kubernetes-compatible cluster that fits in a virtualenv."""
