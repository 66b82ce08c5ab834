"""The audit log (audit.k8s.io/v1), loaded only where a policy is given."""
