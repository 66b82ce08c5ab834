"""`kubeherd check`: promises judged on a recorded history, or on any cluster while it lives."""
