"""Bodies at the limit that cost as much as their sender can make them cost."""

import json
from collections.abc import Callable
from typing import Any

_JSON, _YAML, _MSGPACK = "application/json", "application/yaml", "application/msgpack"
_MERGE, _STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
_JSON_PATCH, _APPLY = "application/json-patch+json", "application/apply-patch+yaml"
_CORE = "/api/v1/namespaces/default"
_CONFIG_MAPS, _PODS = f"{_CORE}/configmaps", f"{_CORE}/pods"

Bomb = tuple[str, str, str, str, Callable[[], bytes]]
"""Its name, method, path and content type, and what makes its body."""


def _json(tree: Any) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()


def _config_map(**fields: Any) -> bytes:
    meta = fields.pop("metadata", {})
    return _json({"metadata": {"name": "bomb", **meta}, **fields})


def _pod(**spec: Any) -> Any:
    containers = [{"name": "c", "image": "x"}]
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bomb"},
        "spec": {"containers": containers, **spec},
    }  # fmt: skip


def _pod_with_env(count: int, value: str) -> Any:
    env = [{"name": f"e{number}", "value": value} for number in range(count)]
    return _pod(containers=[{"name": "c", "image": "x", "env": env}])


def _many(count: int, item: Any) -> dict[str, Any]:
    return {f"k{number}": item for number in range(count)}


BOMBS: tuple[Bomb, ...] = (
    ("yaml integers", "POST", _CONFIG_MAPS, _YAML, lambda: b"data: [" + b"1," * 700_000 + b"1]"),
    ("yaml aliases", "POST", _CONFIG_MAPS, _YAML, lambda: b"a: &a [x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9))
        for i in range(8))),
    ("yaml nesting", "POST", _CONFIG_MAPS, _YAML, lambda: b"[" * 1_500_000),
    ("json nesting", "POST", _CONFIG_MAPS, _JSON, lambda: b"[" * 1_500_000),
    ("json lists", "POST", _CONFIG_MAPS, _JSON,
     lambda: b'{"metadata":{"name":"bomb"},"data":[' + b"[[[[]]]]," * 250_000 + b"1]}"),
    ("json integers", "POST", _CONFIG_MAPS, _JSON,
     lambda: b'{"data":[' + b"1," * 1_400_000 + b"1]}"),
    ("json number", "POST", _CONFIG_MAPS, _JSON, lambda: b'{"a":' + b"9" * 2_900_000 + b"}"),
    ("json quotes", "POST", _CONFIG_MAPS, _JSON, lambda: b'{"' + b'\\"' * 1_400_000),
    ("json duplicates", "POST", _CONFIG_MAPS, _JSON, lambda: (
        b'{"metadata":{"name":"bomb"},"data":{'
        + b",".join(b'"k%d":""' % i for i in range(60_000)) + b',"k1":""}}')),
    ("msgpack lists", "POST", _CONFIG_MAPS, _MSGPACK, lambda: b"\x9d" + (
        b"\xdd" + (200_000).to_bytes(4, "big") + b"\x90" * 200_000) * 13),
    ("msgpack nesting", "POST", _CONFIG_MAPS, _MSGPACK, lambda: b"\x91" * 2_900_000),
    ("labels", "POST", _CONFIG_MAPS, _JSON,
     lambda: _config_map(metadata={"labels": {f"!{i}": "" for i in range(90_000)}})),
    ("annotations", "POST", _CONFIG_MAPS, _JSON,
     lambda: _config_map(metadata={"annotations": _many(90_000, "")})),
    ("owners", "POST", _CONFIG_MAPS, _JSON,
     lambda: _config_map(metadata={"ownerReferences": [{"controller": True}] * 50_000})),
    ("finalizers", "POST", _CONFIG_MAPS, _JSON,
     lambda: _config_map(metadata={"finalizers": [f"a.b/{i}" for i in range(90_000)]})),
    ("unknown fields", "POST", _CONFIG_MAPS, _JSON, lambda: _config_map(**_many(90_000, ""))),
    ("data", "POST", _CONFIG_MAPS, _JSON, lambda: _config_map(data=_many(90_000, ""))),
    ("a name", "POST", _CONFIG_MAPS, _JSON,
     lambda: _config_map(metadata={"name": "a." * 1_400_000})),
    ("a label", "POST", _CONFIG_MAPS, _JSON,
     lambda: _config_map(metadata={"labels": {"a-" * 1_400_000: ""}})),
    ("containers", "POST", _PODS, _JSON, lambda: _json(_pod(
        containers=[{"name": f"c{i}", "image": "x"} for i in range(20_000)]))),
    ("variables", "POST", _PODS, _JSON, lambda: _json(_pod_with_env(40_000, ""))),
    ("tolerations", "POST", _PODS, _JSON, lambda: _json(_pod(
        tolerations=[{"key": f"k{i}", "operator": "Exists"} for i in range(30_000)]))),
    ("volumes", "POST", _PODS, _JSON, lambda: _json(_pod(
        volumes=[{"name": f"v{i}", "emptyDir": {}} for i in range(30_000)]))),
    ("quantities", "POST", _PODS, _JSON, lambda: _json(_pod(
        overhead={f"a/{i}": f"{i}e99" for i in range(60_000)}))),
    ("apply", "PATCH", f"{_PODS}/bomb", _APPLY, lambda: _json(_pod_with_env(15_000, "a"))),
    ("apply again", "PATCH", f"{_PODS}/bomb", _APPLY, lambda: _json(_pod_with_env(15_000, "b"))),
    ("elements", "PATCH", f"{_PODS}/bomb", _STRATEGIC, lambda: _json({"spec": {"containers": [
        {"name": "c", "env": [{"name": f"n{i}", "value": "z"} for i in range(20_000)]}]}})),
    ("primitives", "PATCH", f"{_CONFIG_MAPS}/a", _STRATEGIC, lambda: _json({"metadata": {
        "$deleteFromPrimitiveList/finalizers": [f"a.b/{i}" for i in range(20_000)],
        "finalizers": [f"a.b/x{i}" for i in range(20_000)]}})),
    ("kept keys", "PATCH", f"{_CONFIG_MAPS}/a", _STRATEGIC, lambda: _json({"data": {
        "$retainKeys": list(_many(20_000, "")), **_many(20_000, "v")}})),
    ("merging", "PATCH", f"{_CONFIG_MAPS}/a", _MERGE, lambda: _json({"data": _many(90_000, "v")})),
    ("moves", "PATCH", f"{_PODS}/bomb", _JSON_PATCH, lambda: _json([
        {"op": "move", "from": "/spec/containers", "path": "/spec/x"},
        {"op": "move", "from": "/spec/x", "path": "/spec/containers"}] * 1000)),
    ("copies", "PATCH", f"{_CONFIG_MAPS}/a", _JSON_PATCH, lambda: _json(
        [{"op": "add", "path": "/data", "value": {}}]
        + [{"op": "copy", "from": "/data", "path": f"/data/k{i}"} for i in range(1000)])),
    ("insertions", "PATCH", f"{_PODS}/bomb", _JSON_PATCH, lambda: _json([
        {"op": "add", "path": "/spec/containers/0/env/0", "value": {"name": f"n{i}"}}
        for i in range(10_000)])),
)  # fmt: skip
"""The classes of attack on the event loop that are known; each took from 0.1 to 70 s once, or all
memory."""
