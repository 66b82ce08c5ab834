"""What Kubernetes keeps in etcd: under which keys, in which form. For who shares an etcd with a
real API server, and for who reads what one has left."""
