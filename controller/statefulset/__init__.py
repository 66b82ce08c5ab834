"""The StatefulSet controller: pods with an identity, an ordinal each, made and replaced in order.

Spec: statefulset-controller, all sections. `plan` decides (pure); `controller` wakes up, reads
caches and carries plans out, with the writes in `execute` and `makerevision`. The others are one
rule each, and pure: identity, claims, podtemplate, history, replicas, status.
"""
