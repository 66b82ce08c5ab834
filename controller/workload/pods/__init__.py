"""The pods of a workload: which are its own, how new ones are named and made, which go first."""
