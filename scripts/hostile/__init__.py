"""Parts of `scripts/hostile_requests.py`: what is sent, to whom, and what is checked."""
