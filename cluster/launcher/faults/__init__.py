"""Faults of a running cluster: who carries out which, begun and undone on command."""
