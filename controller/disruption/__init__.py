"""PodDisruptionBudget status: how many pods may be evicted now (spec api-machinery, 9)."""
