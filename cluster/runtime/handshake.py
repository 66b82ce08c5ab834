"""The readiness handshake between a parent and the process it starts.

Kept apart from `cluster.runtime.process` so that a parent (the CLI) need not load logging for it.
"""

READY_FD_VARIABLE = "KUBEHERD_READY_FD"
"""In a process's environment: the descriptor to write one JSON line to when it serves."""
