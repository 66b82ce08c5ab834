"""The DaemonSet controller: one pod of the current template on every node that should run it.

`plan.py` decides (pure), `controller.py` wakes up, reads caches and carries plans out. The modules
between are one rule of the specification each: nodes, claim, manage, strategy, rollout, history,
status. Invariant: everything but `controller.py` and `execute.py` is pure.
"""
