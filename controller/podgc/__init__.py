"""Garbage collection of pods whose node is gone or that ended long ago. Spec: node-lifecycle 8."""
