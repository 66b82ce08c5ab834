"""The HTTP edge: connections, requests, content negotiation, routes and answers."""
