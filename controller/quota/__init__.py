"""ResourceQuota: counts what a namespace uses, and gives back what was deleted.

Source: Kubernetes v1.36, pkg/controller/resourcequota.
"""
