"""Requests that clients made of a real API server: `{"sequences": [{"steps": [...]}]}` as JSON."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

_RUN, _NAMESPACE = "run", "default"
"""What stands for the placeholders in paths and bodies: all requests meet in one namespace."""


class Recorded(msgspec.Struct, frozen=True):
    """One request; `body` is a tree, None for no body."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: Any


def read(file: Path) -> list[Recorded]:
    """All requests of a recording that do not follow something for ever."""
    text = file.read_text().replace("{run}", _RUN).replace("{ns}", _NAMESPACE)
    found = []
    for sequence in json.loads(text)["sequences"]:
        for step in sequence["steps"]:
            url = urlsplit(step.get("path", ""))
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            if step.get("method") is None or "watch" in query or "follow" in query:
                continue
            headers = {key.lower(): value for key, value in step.get("headers", {}).items()}
            content_type = headers.get("content-type", "application/json")
            found.append(Recorded(step["method"], url.path, query, content_type, step.get("body")))
    return found
