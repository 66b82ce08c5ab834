"""From a CustomResourceDefinition to the resources that it serves.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver (which versions are served when, discovery,
deprecation warnings), k8s.io/apimachinery/pkg/version (the order of versions).
"""

import re
from typing import Final

from kubeherd.cluster.api.customresources.kind import CustomKind
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource, Subresource

VERBS: Final = (
    "delete", "deletecollection", "get", "list", "patch", "create", "update", "watch",
)  # fmt: skip
_SUBRESOURCE_VERBS = ("get", "patch", "update")
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def condition(definition: JsonObject, kind: str) -> JsonObject:
    """The condition of this type; {} if there is none."""
    found = (definition.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one.get("type") == kind), {})


def is_true(definition: JsonObject, kind: str) -> bool:
    """Whether the condition of this type is True."""
    return bool(condition(definition, kind).get("status") == "True")


def is_served(definition: JsonObject) -> bool:
    """Whether requests for objects are answered: from the moment its names are accepted."""
    return is_true(definition, "NamesAccepted") or is_true(definition, "Established")


def priority(version: str) -> tuple[int, int, int, str]:
    """A sort key that puts the version that clients should prefer first: v2, v1, v1beta1, foo."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return 1, 0, 0, version
    stability = {None: 2, "beta": 1, "alpha": 0}[match[2]]
    return 0, -stability, -int(match[1]) * 1000 - int(match[3] or 0), version


def storage_version(spec: JsonObject) -> str:
    """The name of the version in which objects are stored."""
    return next((v["name"] for v in spec.get("versions") or () if v.get("storage")), "")


def resources(definition: JsonObject) -> list[Resource]:
    """The resources that a definition serves now, one a version; none before it is accepted."""
    if not is_served(definition):
        return []
    versions = definition["spec"].get("versions") or ()
    return [_resource(definition, version) for version in versions if version.get("served")]


def stored_as(definition: JsonObject) -> Resource:
    """The version in which objects are stored, whether it is served or not."""
    spec = definition["spec"]
    version = next(one for one in spec["versions"] if one.get("storage"))
    return _resource(definition, version)


def _resource(definition: JsonObject, version: JsonObject) -> Resource:
    spec, names = definition["spec"], definition["status"]["acceptedNames"]
    custom = _custom(definition, version)
    subresources = []
    if custom.status:
        subresources.append(Subresource("status", "", "", names["kind"], _SUBRESOURCE_VERBS))
    if custom.scale is not None:
        scale = Subresource("scale", "autoscaling", "v1", "Scale", _SUBRESOURCE_VERBS)
        subresources.append(scale)
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        singular=names.get("singular", ""),
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        verbs=VERBS,
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(subresources),
        custom=custom,
    )


def _custom(definition: JsonObject, version: JsonObject) -> CustomKind:
    spec = definition["spec"]
    subresources = version.get("subresources") or {}
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return CustomKind(
        group=spec["group"],
        version=version["name"],
        kind=definition["status"]["acceptedNames"]["kind"],
        schema=schema,
        storage_version=storage_version(spec),
        status=subresources.get("status") is not None,
        scale=subresources.get("scale"),
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        selectable=tuple(
            one["jsonPath"].removeprefix(".") for one in version.get("selectableFields") or ()
        ),
        warnings=_warnings(spec, version),
        terminating=is_true(definition, "Terminating"),
        by_webhook=(spec.get("conversion") or {}).get("strategy") == "Webhook",
        definition=definition,
    )


def _warnings(spec: JsonObject, version: JsonObject) -> tuple[str, ...]:
    if not version.get("deprecated"):
        return ()
    given = version.get("deprecationWarning")
    if given is not None:
        return (given,)
    group, kind, name = spec["group"], spec["names"]["kind"], version["name"]
    better = sorted(
        (
            one["name"]
            for one in spec["versions"]
            if one.get("served")
            and not one.get("deprecated")
            and priority(one["name"]) < priority(name)
        ),
        key=priority,
    )
    text = f"{group}/{name} {kind} is deprecated"
    return (f"{text}; use {group}/{better[0]} {kind}" if better else text,)
