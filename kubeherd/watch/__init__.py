"""`kubeherd watch`: the herd at a glance in a terminal. `screen` says what it shows; pure."""
