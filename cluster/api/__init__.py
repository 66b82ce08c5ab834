"""Shared vocabulary of the Kubernetes API: pure code, no I/O, no clock, no randomness.

Everything here may be imported by every process. Nothing here may import asyncio, aiohttp,
time, random, socket or a logger (checked by import-linter).
"""
