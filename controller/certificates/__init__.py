"""CertificateSigningRequests: kubelets' are approved, approved ones are signed by the cluster, old
ones are deleted."""
