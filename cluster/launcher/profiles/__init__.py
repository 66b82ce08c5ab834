"""Profiles: what a new cluster has besides the nodes. Imported only for one that is not bare."""
