"""What can be done to a cluster from the page."""
