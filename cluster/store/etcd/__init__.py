"""The engine that several stores share: etcd, over its v3 API. Imported with ``--store etcd`` only.

`engine` is its face. Below it: `client` (members, failover, deadlines), `watch` (what follows
everything), `leases`, `compaction`, `grpc` (how it is talked to), and what is pure: `failures`,
`grouping`. Keys and values are Kubernetes' own: `cluster.api.etcd`. Waits are real seconds: etcd
does not obey ``--speed``.
"""
