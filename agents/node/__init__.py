"""The node: its Node object and status, its Lease, its registration and addresses."""
