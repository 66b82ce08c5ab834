"""Choose what the real components' recorded requests teach: tests/data/component-exchanges.json.gz.

    python scripts/select_exchanges.py RECORDING...

A recording has a JSON object per line: component, agent (User-Agent), method, path (with its
query), contentType, accept, body (base64), before (the object just before, or null), status,
answer. It comes from a proxy between a component of Kubernetes and a real API server; the proxy
asks for the answers in JSON (docs/upstream-tests.md). Of each kind of request a few are kept: the
same component, method, place, encoding and outcome.
"""

import base64
import gzip
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "tests/data/component-exchanges.json.gz"
KEPT_OF_A_KIND = 2
MAX_BODY_BYTES = 8 * 1024
VERSION_DIGITS = 4
"""Of the resourceVersions in them: the test puts others of the same length in their place."""
NAMED_PARTS = 2
"""A collection and a name come after what a path begins with."""


def kind_of(exchange: dict[str, Any]) -> tuple[str, ...]:
    """What two requests share that teach the same."""
    parts = exchange["path"].partition("?")[0].strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[0] == "namespaces" and len(rest) > NAMED_PARTS:
        rest = rest[NAMED_PARTS:]
    subresource = rest[NAMED_PARTS] if len(rest) > NAMED_PARTS else ""
    component = exchange["component"].rstrip("-0123456789")
    body = base64.b64decode(exchange["body"])
    shape = body[:2].hex() if exchange["contentType"].endswith("+json") else ""
    return (
        component,
        exchange["method"],
        rest[0],
        subresource,
        exchange["contentType"],
        str(exchange["status"]),
        shape,
    )


def teaches(exchange: dict[str, Any]) -> bool:
    """Whether it can be repeated on a server that has nothing but the object itself."""
    before, answer = exchange["before"] or {}, exchange["answer"]
    named = bool((before.get("metadata") or {}).get("name"))
    terminating = "being terminated" in str(answer.get("message"))
    bound = bool((answer.get("spec") or {}).get("boundObjectRef"))
    version = str((before.get("metadata") or {}).get("resourceVersion", ""))
    if before and len(version) != VERSION_DIGITS:
        return False
    small = len(exchange["body"]) < MAX_BODY_BYTES
    return small and not terminating and not bound and (named or exchange["method"] == "POST")


def without_secrets(exchange: dict[str, Any]) -> dict[str, Any]:
    """Without the token that was asked for."""
    answer = exchange["answer"]
    if answer.get("kind") == "TokenRequest" and "status" in answer:
        answer["status"]["token"] = "TOKEN"  # noqa: S105
    return exchange


def main(recordings: list[str]) -> None:
    """Write the data file."""
    seen: Counter[tuple[str, ...]] = Counter()
    kept = []
    for file in recordings:
        for line in Path(file).read_text().splitlines():
            exchange = json.loads(line)
            kind = kind_of(exchange)
            if teaches(exchange) and seen[kind] < KEPT_OF_A_KIND:
                seen[kind] += 1
                exchange["component"] = kind[0]
                kept.append(without_secrets(exchange))
    text = json.dumps(kept, indent=0, sort_keys=True).encode()
    DATA.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{len(kept)} exchanges, {DATA.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
