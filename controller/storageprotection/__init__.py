"""Lets go of claims, volumes and classes that are being deleted once nothing uses them.

Source: Kubernetes v1.36, pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}.
"""
