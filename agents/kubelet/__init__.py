"""The kubelet: the shell that drives the pod machine for the pods of one node."""
