"""Rules of Namespace, ConfigMap, Secret, Event and Lease."""

import base64
import binascii

import orjson

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    forbidden,
    invalid,
    invalid_each,
    required,
    too_long,
)
from kubeherd.cluster.api.validation.checks import (
    immutable,
    not_negative,
    positive,
)
from kubeherd.cluster.api.validation.objectmeta import standard_finalizer

MAX_DATA_BYTES = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"
_SECRET_KEYS: dict[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def create_namespace(tree: JsonObject) -> list[Cause]:
    """A namespace: its finalizers are qualified names or standard ones."""
    return _namespace_finalizers(tree, indexed=False)


def _namespace_finalizers(tree: JsonObject, *, indexed: bool) -> list[Cause]:
    causes: list[Cause] = []
    for index, finalizer in enumerate((tree.get("spec") or {}).get("finalizers") or ()):
        at = f"spec.finalizers[{index}]" if indexed else "spec.finalizers"
        causes += invalid_each(at, finalizer, names.qualified_name(finalizer))
        causes += standard_finalizer(finalizer, at)
    return causes


def update_namespace_finalize(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A write to ``/finalize`` sets finalizers like a create, and names which one is wrong."""
    return _namespace_finalizers(new, indexed=True)


def update_namespace_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """The phase follows from deletionTimestamp."""
    phase = (new.get("status") or {}).get("phase", "")
    deleting = bool((new.get("metadata") or {}).get("deletionTimestamp"))
    if deleting and phase != "Terminating":
        detail = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        return [invalid("status.Phase", phase, detail)]
    if not deleting and phase != "Active":
        detail = "may only be 'Active' if `deletionTimestamp` is empty"
        return [invalid("status.Phase", phase, detail)]
    return []


def create_config_map(tree: JsonObject) -> list[Cause]:
    """A ConfigMap: keys, and 1 MiB of data at most."""
    data, binary = tree.get("data") or {}, tree.get("binaryData") or {}
    causes: list[Cause] = []
    total = 0
    for key, value in data.items():
        causes += invalid_each(f"data[{key}]", key, names.config_map_key(key))
        if key in binary:
            detail = "duplicate of key present in binaryData"
            causes.append(invalid(f"data[{key}]", key, detail))
        total += len(value) if value.isascii() else len(value.encode())
    for key, value in binary.items():
        causes += invalid_each(f"binaryData[{key}]", key, names.config_map_key(key))
        total += _decoded_length(value)
    if total > MAX_DATA_BYTES:
        causes.append(too_long("[]", MAX_DATA_BYTES))  # how Kubernetes shows the empty path
    return causes


def _decoded_length(text: str) -> int:
    return len(text) // 4 * 3 - text.count("=", -2)


def _frozen(new: JsonObject, old: JsonObject, fields: tuple[str, ...]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes = [] if new.get("immutable") else [forbidden("immutable", _FROZEN)]
    return causes + [
        forbidden(name, _FROZEN)
        for name in fields
        if (new.get(name) or {}) != (old.get(name) or {})
    ]


def update_config_map(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed ConfigMap."""
    return _frozen(new, old, ("data", "binaryData")) + create_config_map(new)


def create_secret(tree: JsonObject) -> list[Cause]:
    """A Secret: keys, size, and the keys that its type demands."""
    data = tree.get("data") or {}
    causes: list[Cause] = []
    for key in data:
        causes += invalid_each(f"data[{key}]", key, names.config_map_key(key))
    if sum(map(_decoded_length, data.values())) > MAX_DATA_BYTES:
        causes.append(too_long("data", MAX_DATA_BYTES))
    kind = tree.get("type", "")
    causes += [required(f"data[{key}]") for key in _SECRET_KEYS.get(kind, ()) if key not in data]
    if kind == "kubernetes.io/service-account-token":
        annotation = "kubernetes.io/service-account.name"
        if not ((tree.get("metadata") or {}).get("annotations") or {}).get(annotation):
            causes.append(required(f"metadata.annotations[{annotation}]"))
    elif kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        causes += [required("data[username]"), required("data[password]")]
    elif kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
        key = _SECRET_KEYS[kind][0]
        if key in data and not _is_json(data[key]):
            detail = "invalid JSON"
            causes.append(invalid(f"data[{key}]", "<secret contents redacted>", detail))
    return causes


def _is_json(text: str) -> bool:
    try:
        orjson.loads(base64.b64decode(text))
    except (orjson.JSONDecodeError, binascii.Error):
        return False
    return True


def update_secret(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed Secret: its type stays."""
    causes = immutable(new.get("type", ""), old.get("type", ""), "type")
    return causes + _frozen(new, old, ("data",)) + create_secret(new)


def create_event(tree: JsonObject) -> list[Cause]:
    """An Event of the core group."""
    namespace = (tree.get("metadata") or {}).get("namespace", "")
    involved = (tree.get("involvedObject") or {}).get("namespace", "")
    timed = bool(tree.get("eventTime"))
    causes: list[Cause] = []
    fits = (
        namespace == involved if involved
        else namespace == "default" or (timed and namespace == "kube-system")
    )  # fmt: skip
    if not fits:
        detail = "does not match event.namespace"
        causes.append(invalid("involvedObject.namespace", involved, detail))
    if timed:
        causes += [
            required(name)
            for name in ("reportingComponent", "reportingInstance", "action", "reason")
            if not tree.get(name)
        ]
    reporter = tree.get("reportingComponent")
    if timed and reporter:
        causes += invalid_each("reportingComponent", reporter, names.qualified_name(reporter))
    return causes


def create_lease(tree: JsonObject) -> list[Cause]:
    """A Lease: a positive duration, a transition count that is not negative."""
    spec = tree.get("spec") or {}
    causes = positive(spec, "leaseDurationSeconds", "spec")
    return causes + not_negative(spec, "leaseTransitions", "spec")
