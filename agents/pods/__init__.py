"""Pods on a node, pure: the pod state machine, containers, probes, and the status they give."""
