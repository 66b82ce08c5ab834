"""Subresources of pods, and proxies: what a kubelet would answer to, or a scheduler asks for."""
