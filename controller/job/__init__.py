"""The Job controller: pods that run to completion, counted once each (docs/spec/job-controller)."""
