"""Write which fields of each built-in type Kubernetes prints although they are zero.

    python scripts/update_zeros.py GO_TYPES.json

The argument describes the Go types of k8s.io/api: ``{"types": {"apps.v1.ReplicaSetStatus":
[["Replicas", "replicas", 1, "int32", ""], ...]}}``, each field with its Go name, JSON name,
protobuf number, type and flags (p pointer, r repeated, o omitempty, z omitzero, i inline,
O: a named list). Only
definitions that kubeherd ships are kept.
"""

import json
import sys
from collections.abc import Container
from pathlib import Path

from kubeherd.cluster.api.schemas import definitions

TARGET = Path(__file__).parents[1] / "cluster" / "api" / "schemas" / "zeros.json"
PACKAGES = (
    "io.k8s.api.",
    "io.k8s.apimachinery.pkg.",
    "io.k8s.apiextensions-apiserver.pkg.",
    "io.k8s.kube-aggregator.pkg.",
)
ZEROS: dict[str, object] = {
    "string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0,
    "api.resource.Quantity": "0", "util.intstr.IntOrString": 0,
    "apis.meta.v1.Time": None, "apis.meta.v1.MicroTime": None, "runtime.RawExtension": None,
}  # fmt: skip


def main() -> None:
    """Write the file."""
    types = json.loads(Path(sys.argv[1]).read_bytes())["types"]
    lists = {name for name, fields in types.items() if any("O" in field[4] for field in fields)}
    lines = []
    for key in sorted(definitions.keys()):
        fields = printed(types.get(go_name(key), ()), definitions.by_key(key).properties, lists)
        if fields and not key.endswith("List"):
            text = json.dumps(fields, separators=(",", ":"))
            lines.append(f"{json.dumps(key)}:{text}")
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{TARGET.name}: {len(lines)} types, {TARGET.stat().st_size:,} bytes")


def go_name(key: str) -> str:
    """The name of a definition among the Go types."""
    return next((key[len(prefix) :] for prefix in PACKAGES if key.startswith(prefix)), key)


def printed(
    go_fields: list[list[str]], known: Container[str], lists: set[str]
) -> dict[str, object]:
    """The zeros that encoding/json writes: omitempty leaves no struct out, omitzero does."""
    out: dict[str, object] = {}
    for _, name, _, go_type, flags in go_fields:
        if not name or "i" in flags or "z" in flags or name not in known:
            continue
        single = not set("pr") & set(flags) and not go_type.startswith(("map:", "bytes"))
        is_struct = single and "." in go_type and go_type not in lists
        if "o" in flags and not is_struct:
            continue
        if single:
            out[name] = ZEROS.get(go_type, {})
        else:
            out[name] = None
    return out


if __name__ == "__main__":
    main()
