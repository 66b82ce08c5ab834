"""`kubeherd demo`: a story in the terminal, on a cluster of its own."""
