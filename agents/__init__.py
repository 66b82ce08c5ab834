"""Kubelet agents: register nodes, keep their leases, run fake pods by a pure state machine."""
