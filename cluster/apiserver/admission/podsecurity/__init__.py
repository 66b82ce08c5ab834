"""PodSecurity: the Pod Security Standards, by labels of the namespace.

Source: Kubernetes v1.36, k8s.io/pod-security-admission.
"""
