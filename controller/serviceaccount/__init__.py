"""What every namespace gets: ServiceAccount `default`, ConfigMap `kube-root-ca.crt` (spec 8)."""
