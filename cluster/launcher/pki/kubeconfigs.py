"""Kubeconfigs with everything embedded: made, and renewed where a person may have changed them."""

import base64
import copy
import re

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.launcher.pki.authority import KeyPair

NAME = "kubeherd"
"""Of the context, and of the cluster in it."""
_PLAIN = re.compile(
    r"https?://[\w.:-]+|(?!(?i:true|false|yes|no|on|off|null|y|n)$)[A-Za-z](?:[\w:-]*\w)?"
    r"|[A-Za-z0-9+/]{40,}={0,2}",
    re.ASCII,
)
"""What the values of a kubeconfig are: addresses, names, base64; any other is quoted."""


def kubeconfig(server: str, ca_pem: bytes, pair: KeyPair, user: str) -> JsonObject:
    """A kubeconfig with everything embedded."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": NAME,
                "cluster": {"server": server, "certificate-authority-data": _b64(ca_pem)},
            }
        ],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": user}}],
        "current-context": NAME,
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _b64(pair.certificate),
                    "client-key-data": _b64(pair.key),
                },
            }
        ],
    }


def renewed(old: JsonValue, new: JsonObject) -> JsonObject:
    """`new` in a kubeconfig that a person may have changed: its contexts, namespaces, further
    clusters and users stay. `new` alone where `old` has not the cluster or the user any more."""
    if not isinstance(old, dict):
        return new
    tree = copy.deepcopy(old)
    for section in ("clusters", "users"):
        (entry,) = new[section]
        entries = [one for one in tree.get(section) or () if isinstance(one, dict)]
        names = [one.get("name") for one in entries]
        if entry["name"] not in names:
            return new
        tree[section] = [entry if one.get("name") == entry["name"] else one for one in entries]
    return tree


def to_yaml(tree: JsonObject) -> str:
    """A kubeconfig as people know it: YAML in blocks; strings plain where they are no other YAML.

    PyYAML takes ten times as long, most of it to load (a twentieth of the start of a cluster): it
    writes only what holds more than mappings, lists of them and strings.
    """
    if _is_simple(tree):
        return _in_yaml(tree)
    import yaml  # noqa: PLC0415 - seldom needed

    return str(yaml.safe_dump(tree, sort_keys=False))


def _is_simple(tree: JsonValue) -> bool:
    if isinstance(tree, dict):
        return bool(tree) and all(_is_simple(value) for value in tree.values())
    if isinstance(tree, list):
        return bool(tree) and all(isinstance(one, dict) and _is_simple(one) for one in tree)
    return isinstance(tree, str)


def _in_yaml(tree: JsonValue, indent: str = "") -> str:
    if isinstance(tree, dict):
        return "".join(f"{indent}{key}:{_after_key(value, indent)}" for key, value in tree.items())
    items = tree if isinstance(tree, list) else ()
    return "".join(f"{indent}- {_in_yaml(item, indent + '  ').lstrip()}" for item in items)


def _after_key(value: JsonValue, indent: str) -> str:
    if isinstance(value, str):
        return f" {value if _PLAIN.fullmatch(value) else msgspec.json.encode(value).decode()}\n"
    return "\n" + _in_yaml(value, indent + "  " * isinstance(value, dict))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
