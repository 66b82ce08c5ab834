"""Bootstrap tokens of machines that want to become nodes: expired ones go, good ones sign."""
