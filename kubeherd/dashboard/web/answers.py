"""Answers to a browser: what all of them have in common. Pure."""

from typing import Final

import msgspec

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "kubeherd",
}
"""Of every answer."""
JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"


class Answer(msgspec.Struct, frozen=True):
    """A whole answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = {}


class Refused(Exception):
    """A request that is not carried out: the status, and a line for a person."""

    def __init__(self, status: int, why: str, **facts: object) -> None:
        super().__init__(why)
        self.status = status
        self.facts = facts

    def answer(self) -> Answer:
        """What the browser gets."""
        return Answer(self.status, msgspec.json.encode({"error": str(self), **self.facts}))


def json(value: object) -> Answer:
    """A value as JSON."""
    return Answer(body=msgspec.json.encode(value))
