"""Eviction of pods by NoExecute taints. Spec: node-lifecycle, section 7."""
