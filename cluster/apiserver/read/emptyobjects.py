"""What Go writes of an object that nobody has filled in: what a bookmark shows beside its revision.

``empty_objects.json`` has, for each ``apiVersion/kind`` with such fields, those that k8s.io/api
marks neither as pointers nor as ``omitempty``, with their zero values; of a DaemonSet also the
annotation that its conversion adds.
"""

import json
from functools import cache
from pathlib import Path

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource


def of(resource: Resource) -> JsonObject:
    """A fresh empty object of the kind, with kind, apiVersion and metadata."""
    zeros: JsonObject = json.loads(_file().get(f"{resource.api_version}/{resource.kind}", "{}"))
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": zeros.pop("metadata", {}),
        **zeros,
    }


@cache
def _file() -> dict[str, str]:
    path = Path(__file__).with_name("empty_objects.json")
    return {name: json.dumps(zeros) for name, zeros in json.loads(path.read_bytes()).items()}
