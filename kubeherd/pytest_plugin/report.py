"""What a person needs to see of a cluster when a test failed: sections of pytest's report.

Whatever cannot be had any more (the API server may be dead, that may be why the test failed) is
said in one line; the rest is shown all the same.
"""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubeherd import Cluster, KubeherdError, is_ready
from kubeherd.conditions import JsonObject

LOG_LINES = 12
LOG_BYTES = 16_384
EVENTS = 20
PODS = 40
LINE_LIMIT = 240


def sections(cluster: Cluster, test: str, *, kept: bool) -> list[tuple[str, str]]:
    """Titles and texts, for the report of a test that failed."""
    parts: list[tuple[str, Callable[[Cluster], Iterator[str]]]] = [
        ("processes", _processes),
        ("nodes", _nodes),
        ("pods", _pods),
        ("events", _events),
        ("ends of the logs", _logs),
    ]
    shown = [("kubeherd: the cluster", "\n".join(_cluster(cluster, kept=kept)))]
    for title, part in parts:
        shown.append((f"kubeherd: {title}", _text(part, cluster)))
    if cluster.history.exists():
        drawing = functools.partial(_timeline, test)
        shown.append(("kubeherd: what happened", _text(drawing, cluster)))
    return shown


def _text(part: Callable[[Cluster], Iterator[str]], cluster: Cluster) -> str:
    lines: list[str] = []
    try:
        lines += part(cluster)
    except (KubeherdError, OSError, ValueError) as error:
        lines.append(f"not to be had: {error}")
    return "\n".join(line[:LINE_LIMIT] for line in lines) or "none"


def _cluster(cluster: Cluster, *, kept: bool) -> Iterator[str]:
    yield f"directory {cluster.directory}"
    yield f"seed {cluster.seed}, speed {cluster.speed:g}; again with --kubeherd-seed {cluster.seed}"
    if kept:
        yield "it was kept:"
        yield f"  export KUBECONFIG={cluster.kubeconfig}"
        yield f"  kubeherd status --dir {cluster.directory}"
        yield f"  kubeherd down --dir {cluster.directory}    stops it"
    else:
        yield "--kubeherd-keep leaves it running for you to look at"
    if not cluster.history.exists():
        yield "--kubeherd-record writes draws what happened"


def _processes(cluster: Cluster) -> Iterator[str]:
    for process in cluster.processes():
        restarts = f", {process.restarts} restarts" if process.restarts else ""
        ready = "" if process.ready else ", not ready"
        yield f"{process.name}: {process.phase}{ready}{restarts}"


def _nodes(cluster: Cluster) -> Iterator[str]:
    for node in cluster.list("Node"):
        taints = [f"{t['key']}:{t['effect']}" for t in node["spec"].get("taints") or ()]
        state = "Ready" if is_ready(node) else "NotReady"
        yield " ".join([node["metadata"]["name"], state, *taints])


def _pods(cluster: Cluster) -> Iterator[str]:
    pods = cluster.list("Pod")
    for pod in pods[:PODS]:
        metadata, status = pod["metadata"], pod.get("status", {})
        words = [
            f"{metadata['namespace']}/{metadata['name']}",
            f"on {pod['spec'].get('nodeName') or 'no node'}",
            status.get("phase", ""),
            "Ready" if is_ready(pod) else "not Ready",
            "terminating" if metadata.get("deletionTimestamp") else "",
            *_waiting(status),
        ]
        yield " ".join(filter(None, words))
    if len(pods) > PODS:
        yield f"and {len(pods) - PODS} more"


def _waiting(status: JsonObject) -> Iterator[str]:
    for container in status.get("containerStatuses") or ():
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            yield f"({container['name']}: {waiting.get('reason', 'waiting')})"


def _events(cluster: Cluster) -> Iterator[str]:
    events = sorted(cluster.list("Event"), key=_seen_last)
    for event in events[-EVENTS:]:
        about = event.get("involvedObject") or event.get("regarding") or {}
        yield (
            f"{_seen_last(event)} {event.get('type')} {event.get('reason')} "
            f"{about.get('kind')}/{about.get('name')}: {event.get('message') or event.get('note')}"
        )


def _seen_last(event: JsonObject) -> str:
    times = (event.get(name) for name in ("lastTimestamp", "eventTime", "firstTimestamp"))
    return next(filter(None, times), None) or str(event["metadata"]["creationTimestamp"])


def _logs(cluster: Cluster) -> Iterator[str]:
    for path in sorted(cluster.logs.glob("*.log")):
        lines = _tail(path)
        if lines:
            yield f"{path.name}:"
            yield from (f"  {_readable(line)}" for line in lines)


def _timeline(test: str, cluster: Cluster) -> Iterator[str]:
    from kubeherd.pytest_plugin.drawing import draw  # noqa: PLC0415 - of clusters that record

    drawn, history = draw(cluster.directory, test)
    yield f"timeline, for a browser: {drawn}"
    yield f"as kubectl sees it, at any moment (--at): kubeherd replay {history}"


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - LOG_BYTES))
        return file.read().decode(errors="replace").splitlines()[-LOG_LINES:]


def _readable(line: str) -> str:
    """A JSON line as `time level event key=value ...`; anything else as it is."""
    try:
        entry: dict[str, Any] = json.loads(line)
        head = [str(entry.pop(key)) for key in ("time", "level", "event")]
    except (ValueError, KeyError, AttributeError):
        return line
    return " ".join([*head, *(f"{key}={value}" for key, value in entry.items())])
