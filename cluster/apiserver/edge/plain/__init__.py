"""Plain requests, which are most: read and answered without aiohttp, several at once where that
costs less."""
