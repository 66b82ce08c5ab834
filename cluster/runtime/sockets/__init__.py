"""Sockets of processes: listening, Unix sockets that only their user can open, aiohttp's."""
