"""Trees as bodies: JSON, YAML, msgpack and protobuf, of whatever they can be made of."""

import json
import random
from typing import Any

import msgpack
import yaml

from hostile.objects import NAMES
from kubeherd.cluster.api.serializer.protobuf import bodies

JSON, YAML, MSGPACK = "application/json", "application/yaml", "application/msgpack"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def encoded(tree: Any, content_type: str, rng: random.Random) -> bytes:
    """The tree as a body of this type; JSON where there is no other form for it."""
    if content_type == MSGPACK:
        return bytes(msgpack.packb(_fitting(tree)))
    if content_type == YAML:
        return yaml.dump(tree, Dumper=yaml.CSafeDumper, allow_unicode=False).encode()
    if content_type == PROTOBUF:
        return _protobuf(tree, rng)
    return as_json(tree)


def _protobuf(tree: Any, rng: random.Random) -> bytes:
    """The message that the tree is; of what cannot be one, or is to be odd, an envelope."""
    if isinstance(tree, dict) and rng.random() < 0.8:
        try:
            return bodies.encode(tree)
        except Exception:
            return _guessed(tree, rng)
    return _guessed(tree, rng)


def as_json(tree: Any) -> bytes:
    """As Python writes it, which knows more numbers and texts than JSON does."""
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def is_json(body: bytes) -> bool:
    """Whether Python can read it."""
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _fitting(tree: Any) -> Any:
    """The tree without integers that msgpack cannot write."""
    if isinstance(tree, dict):
        return {key: _fitting(item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_fitting(item) for item in tree]
    return float(tree) if isinstance(tree, int) and abs(tree) >= 2**63 else tree


def _guessed(tree: Any, rng: random.Random) -> bytes:
    """Kubernetes' envelope around fields of random numbers: metadata's name, then anything."""
    kind = tree if isinstance(tree, dict) else {}
    names = [str(kind.get(key, "")).encode() for key in ("apiVersion", "kind")]
    type_meta = _bytes_field(1, names[0]) + _bytes_field(2, names[1])
    meta = _bytes_field(1, rng.choice(NAMES).encode())
    raw = _bytes_field(1, meta)
    for _ in range(rng.randint(0, 4)):
        inner = b"".join(
            _bytes_field(rng.randint(1, 20), rng.choice((b"", b"a", meta, b"\xff", b"\x08\x01")))
            for _ in range(rng.randint(0, 3))
        )
        raw += _bytes_field(rng.randint(1, 12), inner)
    return b"k8s\x00" + _bytes_field(1, type_meta) + _bytes_field(2, raw)


def _bytes_field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
