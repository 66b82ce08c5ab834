"""`kubeherd replay`: a recorded history as a cluster that kubectl can read, at any moment of it.

The API server that shows it is a process (`kubeherd.cluster.apiserver.replaying`); here it is
started, with a directory and keys of its own, and ended.
"""
