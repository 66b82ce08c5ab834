"""The schemas of Kubernetes as data: fields and types of each kind."""
