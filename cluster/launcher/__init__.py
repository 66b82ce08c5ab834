"""Starts, finds, supervises and stops the processes of a cluster, and keeps its directory."""
