"""ReplicaSets and ReplicationControllers: as many pods of one template as are wanted.

One controller serves both kinds, for the older is a ReplicaSet with a simpler selector
(`kinds.py`). Begin with `plan.py`; `controller.py` is its shell. Spec: replicaset-controller.
"""
