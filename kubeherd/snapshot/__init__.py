"""`kubeherd snapshot`: the state of a cluster as a file, and a cluster made of one.

`model` says what a snapshot is, `fileformat` how it is written down. It is taken from a cluster
that runs (`taking`, through the API, so any Kubernetes will do) or from the store of one that is
stopped (`stopped`); read from a file of ours, a dump of kubectl (`dumps`) or a snapshot of etcd
(`etcdsnapshot`, on `bbolt`); made fit for kubeherd (`adapting`, pure); and put into the directory
of a new cluster (`restoring`), whose settings `planning` makes, or into its etcd (`etcdrestoring`,
on `sharing`). Only `command` is used from outside.
"""
