"""Write the table of Go structs that kubeherd ships, from a description of Kubernetes' API types.

    python scripts/update_gostructs.py go-types.json

The input has `kinds` (``apps/v1/DaemonSet`` to the name of its struct) and `types` (the name of a
struct to its fields: [Go name, JSON name, protobuf number, type, flags], or ``{"listOf": type}``
for a named list). What is not served is left out, and each struct becomes one line of text (see
`cluster/api/schemas/gostructs.py`). The same input gives the same bytes.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.version import KUBERNETES_VERSION

TARGET = Path(__file__).parents[1] / "cluster" / "api" / "schemas" / "gostructs.json"

META_KINDS = ("v1/APIGroup", "v1/APIGroupList", "v1/APIResourceList", "v1/APIVersions",
              "v1/DeleteOptions", "v1/Status", "v1/WatchEvent")  # fmt: skip
META = "apis.meta.v1."
DISCOVERY = "apidiscovery.v2."
MORE_KINDS = {
    "meta.k8s.io/v1/PartialObjectMetadata": META + "PartialObjectMetadata",
    "meta.k8s.io/v1/PartialObjectMetadataList": META + "PartialObjectMetadataList",
    "apidiscovery.k8s.io/v2/APIGroupDiscoveryList": DISCOVERY + "APIGroupDiscoveryList",
}
MORE_TYPES: dict[str, Any] = {
    META + "PartialObjectMetadata": [["ObjectMeta", "metadata", 1, META + "ObjectMeta", "o"]],
    META + "PartialObjectMetadataList": [
        ["ListMeta", "metadata", 1, META + "ListMeta", "o"],
        ["Items", "items", 2, META + "PartialObjectMetadata", "r"],
    ],
    META + "GroupVersionKind": [
        ["Group", "group", 1, "string", ""],
        ["Version", "version", 2, "string", ""],
        ["Kind", "kind", 3, "string", ""],
    ],
    DISCOVERY + "APIGroupDiscoveryList": [
        ["ListMeta", "metadata", 1, META + "ListMeta", "o"],
        ["Items", "items", 2, DISCOVERY + "APIGroupDiscovery", "r"],
    ],
    DISCOVERY + "APIGroupDiscovery": [
        ["ObjectMeta", "metadata", 1, META + "ObjectMeta", "o"],
        ["Versions", "versions", 2, DISCOVERY + "APIVersionDiscovery", "ro"],
    ],
    DISCOVERY + "APIVersionDiscovery": [
        ["Version", "version", 1, "string", ""],
        ["Resources", "resources", 2, DISCOVERY + "APIResourceDiscovery", "ro"],
        ["Freshness", "freshness", 3, "string", "o"],
    ],
    DISCOVERY + "APIResourceDiscovery": [
        ["Resource", "resource", 1, "string", ""],
        ["ResponseKind", "responseKind", 2, META + "GroupVersionKind", "po"],
        ["Scope", "scope", 3, "string", ""],
        ["SingularResource", "singularResource", 4, "string", ""],
        ["Verbs", "verbs", 5, "string", "r"],
        ["ShortNames", "shortNames", 6, "string", "ro"],
        ["Categories", "categories", 7, "string", "ro"],
        ["Subresources", "subresources", 8, DISCOVERY + "APISubresourceDiscovery", "ro"],
    ],
    DISCOVERY + "APISubresourceDiscovery": [
        ["Subresource", "subresource", 1, "string", ""],
        ["ResponseKind", "responseKind", 2, META + "GroupVersionKind", "po"],
        ["AcceptedTypes", "acceptedTypes", 3, META + "GroupVersionKind", "ro"],
        ["Verbs", "verbs", 4, "string", "r"],
    ],
}
"""What the input lacks (k8s.io/api/apidiscovery/v2 and k8s.io/apimachinery/pkg/apis/meta/v1)."""

REPEATED_LISTS = ("apis.apiextensions.v1.ValidationRules",)
"""Named lists that are a repeated field in protobuf; all others are messages of their own."""


def main() -> None:
    """Write the file; exit code 2 without an argument."""
    if len(sys.argv) != 2:
        sys.exit(2)
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    types = {name: plain(fields, given["types"]) for name, fields in given["types"].items()}
    types |= MORE_TYPES
    chosen = {key: given["kinds"][key] for key in served(given["kinds"])} | MORE_KINDS
    reached = {name: line(types[name]) for name in sorted(closure(types, chosen.values()))}
    source = {"kubernetes_version": KUBERNETES_VERSION, "made_by": "scripts/update_gostructs.py"}
    parts = (section("source", source), section("kinds", chosen), section("types", reached))
    TARGET.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")
    print(f"{TARGET.name}: {len(reached)} structs, {TARGET.stat().st_size:,} bytes")


def served(known: Iterable[str]) -> list[str]:
    """The keys of the served kinds, their lists, and what subresources take and give."""
    wanted = {*META_KINDS}
    for resource in kinds.ALL:
        own = resource.api_version
        wanted |= {f"{own}/{resource.kind}", f"{own}/{resource.kind}List"}
        for sub in resource.subresources:
            version = f"{sub.group}/{sub.version}" if sub.group else sub.version
            wanted.add(f"{version or own}/{sub.kind}")
    return sorted(wanted & set(known))


def closure(types: dict[str, Any], roots: Iterable[str]) -> set[str]:
    """All structs that the roots contain."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or name not in types:
            continue
        found.add(name)
        fields = types[name]
        inner = [fields["listOf"]] if isinstance(fields, dict) else [field[3] for field in fields]
        waiting.extend(type_.removeprefix("map:") for type_ in inner)
    return found


def plain(fields: Any, types: dict[str, Any]) -> Any:
    """The fields of a struct without `REPEATED_LISTS`."""
    if isinstance(fields, dict):
        return fields
    return [
        [go, name, number, types[type_]["listOf"], f"r{flags}"]
        if type_ in REPEATED_LISTS
        else [go, name, number, type_, flags]
        for go, name, number, type_, flags in fields
    ]


def line(fields: Any) -> str:
    """A struct as text: fields joined by ``;``, or ``=`` and the items' type of a named list."""
    if isinstance(fields, dict):
        return f"={fields['listOf']}"
    return ";".join(
        ":".join(("" if go == json_name[:1].upper() + json_name[1:] else go, json_name,
                  str(number), flags, type_))
        for go, json_name, number, type_, flags in fields
        if go != "TypeMeta"
    )  # fmt: skip


def section(name: str, entries: dict[str, str]) -> str:
    """A member of the file, an entry on a line."""
    body = ",\n".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in entries.items())
    return f"{json.dumps(name)}:{{\n{body}\n}}"


if __name__ == "__main__":
    main()
