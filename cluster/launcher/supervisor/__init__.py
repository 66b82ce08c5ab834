"""What runs in the supervisor of a cluster: its processes, what is asked of it, what it tells."""
