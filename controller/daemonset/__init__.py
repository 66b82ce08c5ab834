"""The DaemonSet controller: one pod of the current template on every node that should run it.

Spec: daemonset-controller, all sections. `plan` decides (pure); `controller` wakes up, reads caches
and carries plans out, with the writes in `execute`, `collision` and `store_status`, and what is
remembered between syncs in `memory` and `written`. The others are one rule each, and pure: nodes,
placement, claim, manage, strategy, rollout, history, template, status, wakeups, backoff.
"""
