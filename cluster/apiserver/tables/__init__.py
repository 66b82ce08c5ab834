"""Objects as tables, for kubectl (spec api-machinery, section 15).

Pure: what a row shows depends only on the object's tree and on `now`. Every column is always sent;
kubectl hides the wide ones.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.tables import descriptions
from kubeherd.cluster.apiserver.tables.columns import Cell
from kubeherd.cluster.apiserver.tables.pods import row_conditions
from kubeherd.cluster.apiserver.tables.printers import SCALES, printer

__all__ = [
    "SCALES",
    "check_include_object",
    "columns",
    "list_metadata",
    "row",
    "shown_metadata",
    "table",
]

_GENERATION = "deprecated.daemonset.template.generation"
_LIST_METADATA = ("resourceVersion", "continue", "remainingItemCount")


def columns(resource: Resource) -> list[JsonObject]:
    """The TableColumnDefinitions of a kind; shared, not to be modified."""
    if resource.custom is not None:
        return [column.to_json(column.description) for column in printer(resource).columns]
    return _columns(resource)


@cache
def _columns(resource: Resource) -> list[JsonObject]:
    found, texts = printer(resource).columns, descriptions.of(resource.group_resource)
    return [column.to_json(text) for column, text in zip(found, texts, strict=True)]


def row(resource: Resource, tree: JsonObject, now: datetime) -> list[Cell]:
    """The cells of one object, one for each column."""
    return printer(resource).row(tree, now)


def list_metadata(metadata: JsonObject) -> JsonObject:
    """The metadata of a table, from that of a list or of a single object."""
    return {name: metadata[name] for name in _LIST_METADATA if name in metadata}


def check_include_object(value: str) -> None:
    """BadRequest unless the query parameter is one of the policies, or empty."""
    if value not in ("", "None", "Metadata", "Object"):
        raise BadRequest(
            "Unable to convert to Table as requested: includeObject: Invalid value: "
            f"{quoted(value)}: must be 'Metadata', 'Object', 'None', or empty"
        )


def table(
    resource: Resource,
    trees: Sequence[JsonObject],
    *,
    now: datetime,
    metadata: JsonObject | None = None,
    include_object: str = "",
    version: str = "v1",
    with_columns: bool = True,
) -> JsonObject:
    """A Table of the objects in `trees` (which carry kind and apiVersion).

    `include_object` is the query parameter: ``None``, ``Metadata`` (default) or ``Object``, else
    BadRequest; `version` that of meta.k8s.io; `with_columns` is false for all but the first event
    of a watch.
    """
    check_include_object(include_object)
    rows = [_row(resource, tree, now, include_object, version) for tree in trees]
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata or {},
        "columnDefinitions": columns(resource) if with_columns else None,
        "rows": rows,
    }


def _row(
    resource: Resource, tree: JsonObject, now: datetime, include_object: str, version: str
) -> JsonObject:
    out: JsonObject = {"cells": row(resource, tree, now)}
    if resource.group_resource == "pods":
        conditions = row_conditions(tree)
        if conditions:
            out["conditions"] = conditions
    out["object"] = _included(tree, include_object, version)
    return out


def _included(tree: JsonObject, include_object: str, version: str) -> JsonValue:
    if include_object == "None":
        return None
    if include_object == "Object":
        return tree
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": shown_metadata(tree),
    }


def shown_metadata(tree: JsonObject) -> JsonObject:
    """The metadata of an object where nothing else of it is shown. Kubernetes makes that from its
    own form of the object, which has not the annotation that apps/v1 DaemonSets are given."""
    metadata: JsonObject = tree.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if tree.get("kind") != "DaemonSet" or _GENERATION not in annotations:
        return metadata
    kept = {name: value for name, value in annotations.items() if name != _GENERATION}
    shown = {**metadata, "annotations": kept}
    if not kept:
        del shown["annotations"]
    return shown
