"""Bugs that Kubernetes and its clients really had, each as a short history that can be run."""
