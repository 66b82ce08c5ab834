"""CertificateSigningRequests: kubelets' are approved, approved ones are signed by the cluster."""
