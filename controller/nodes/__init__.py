"""Node lifecycle: from silent leases to conditions, taints and pods marked not ready.

Spec: node-lifecycle, sections 3 to 6. `health` decides who is silent, `taints` what a node must
carry, `zones` how fast NoExecute taints may spread; `controller` reads caches and writes.
"""
