"""`kubeherd chaos`: experiments that hurt a cluster at random and check that it recovers."""
