"""Promises of the API server to its clients, judged from requests, watches and writes."""
