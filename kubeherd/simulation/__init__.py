"""A whole cluster in one process on virtual time, with every edge that can fail replaced.

`cluster` puts the real API server, controllers and agents together, `edges` replaces disk, process
and network, `weather` makes them misbehave as a seed says, `virtualtime` lets the event loop jump
to its next timer. For tests of kubeherd and of other asyncio code that talks to Kubernetes.
"""
