"""What every namespace gets: ServiceAccount `default` and ConfigMap `kube-root-ca.crt`.

Spec: api-machinery, section 8.
"""
