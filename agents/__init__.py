"""Kubelet agents: register nodes, keep their leases, run fake pods by a pure state machine.

Spec: node-lifecycle, sections 1, 2 and 10 to 14.
"""
