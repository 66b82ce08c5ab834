"""`kubeherd bench`: kubeherd against its budgets."""
