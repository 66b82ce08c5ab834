"""The scheduler: filters, priorities, preemption, binding. Spec: scheduler, all sections.

`nodeinfo` holds what is used where, `filters` says why a node is no place for a pod, `plan` puts
the answers of all nodes together, `preemption` chooses victims, `messages` words failures, `queue`
decides when a pod is tried again; `controller` is the shell.
"""
