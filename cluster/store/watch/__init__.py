"""How events come to those who watch: the newest of them, who wants which, and who is told."""
