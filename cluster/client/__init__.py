"""The way to the API server that every process uses: client, reflector, work queue, events."""
