"""Custom resources in the version that is asked for (strategy None).

Stored objects are shown as the definition says today: in the version of the URL, with fields
pruned and defaults written that it did not have when they were stored
(k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/nop_converter.go).
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.read.conversion import Converter


def converters(resource: Resource) -> tuple[Converter, Converter] | None:
    """(stored to served, served to stored); None while a definition has had one form only."""
    custom = resource.custom
    assert custom is not None  # noqa: S101 - called for custom resources only
    definition = custom.definition
    unchanged = definition["metadata"].get("generation") == 1
    if unchanged and len(definition["spec"]["versions"]) == 1:
        return None
    stored_version = f"{resource.group}/{custom.storage_version}"

    def to_served(tree: JsonObject) -> JsonObject:
        tree["apiVersion"] = resource.api_version
        custom.decode(tree)
        custom.default(tree)
        return tree

    def to_stored(tree: JsonObject) -> JsonObject:
        return {**tree, "apiVersion": stored_version}

    return to_served, to_stored
