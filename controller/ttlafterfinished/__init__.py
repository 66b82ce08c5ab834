"""Deletes Jobs some time after their end (docs/spec/job-controller, 12)."""
