"""What the columns of a kind's table say about themselves, in the words of Kubernetes.

``descriptions.json`` has a list for each kind, in the order of its columns. An entry that begins
with ``=`` names a field of a schema, ``=<definition key>#<field>``, whose own description is meant:
most columns show one field. Kinds without an entry have the two columns of `printers.DEFAULT`.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from kubeherd.cluster.api.schemas import definitions as schemas

_META = "=io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta#"
_DEFAULT = (f"{_META}name", f"{_META}creationTimestamp")


def of(group_resource: str) -> list[str]:
    """The descriptions of the columns of ``daemonsets.apps``, say."""
    return [_text(entry) for entry in _file().get(group_resource, _DEFAULT)]


@cache
def _file() -> dict[str, Sequence[str]]:
    path = Path(__file__).with_name("descriptions.json")
    found: dict[str, Sequence[str]] = json.loads(path.read_bytes())
    return found


@cache
def _text(entry: str) -> str:
    if not entry.startswith("="):
        return entry
    key, _, field = entry[1:].partition("#")
    return str(schemas.raw(key)["properties"][field].get("description", ""))
