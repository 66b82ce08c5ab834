"""A cluster's directory: what lies in it, whose it is, and how it is deleted."""
