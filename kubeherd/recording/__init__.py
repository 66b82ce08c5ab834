"""`kubeherd record`: what happens in any cluster, seen from outside, as a history in a file."""
