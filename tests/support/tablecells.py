"""Trees for the tests of tables, and the cells of a tree by the names of their columns."""

from datetime import UTC, datetime, timedelta
from typing import Any

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.apiserver import tables

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BY_NAME = {r.group_resource: r for r in kinds.ALL}


def ago(seconds: float) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def cells(name: str, tree: dict[str, Any]) -> dict[str, Any]:
    resource = BY_NAME[name]
    names = [column["name"] for column in tables.columns(resource)]
    return dict(zip(names, tables.row(resource, tree, NOW), strict=True))


def condition(kind: str, value: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": value, **more}


def pod(**more: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c"}], **more.pop("spec", {})}
    metadata = {"name": "p", "creationTimestamp": ago(60), **more.pop("metadata", {})}
    return {"metadata": metadata, "spec": spec, "status": more}
