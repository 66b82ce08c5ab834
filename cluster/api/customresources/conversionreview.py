"""What is said to a conversion webhook, and what of its answer counts.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go. A webhook may
change everything of an object but its kind and its metadata; of that only labels and annotations.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from kubeherd.cluster.api.customresources.kind import CustomKind
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.validation import objectmeta

_GROUP = "apiextensions.k8s.io"
_KNOWN = ("v1", "v1beta1")


class Unusable(Exception):
    """An answer that converts nothing; the text says what is wrong with it."""


class Question(msgspec.Struct, frozen=True):
    """A request to convert objects of a kind into a version; `is_list`: they are those of a list.

    They must not have that version already.
    """

    custom: CustomKind
    objects: Sequence[JsonObject]
    desired: str
    """The apiVersion that is wanted."""
    uid: str
    is_list: bool

    @property
    def webhook(self) -> JsonObject:
        """The definition's ``spec.conversion.webhook``."""
        found: JsonObject = self.custom.definition["spec"]["conversion"].get("webhook") or {}
        return found

    @property
    def subject(self) -> str:
        """How messages name what is converted."""
        names = (self.custom.definition.get("status") or {}).get("acceptedNames") or {}
        kind = self.custom.kind
        if self.is_list:
            kind = str(names.get("listKind") or f"{kind}List")
        return f"conversion webhook for {self.objects[0]['apiVersion']}, Kind={kind}"

    def version(self) -> str:
        """The version of ConversionReview that is spoken; Unusable if there is none."""
        for version in self.webhook.get("conversionReviewVersions") or ():
            if version in _KNOWN:
                return str(version)
        raise Unusable("no supported conversion review versions")

    def body(self) -> bytes:
        """The ConversionReview to send."""
        request = {
            "uid": self.uid,
            "desiredAPIVersion": self.desired,
            "objects": list(self.objects),
        }
        return codecs.dumps_json(
            {
                "kind": "ConversionReview",
                "apiVersion": f"{_GROUP}/{self.version()}",
                "request": request,
            }
        )


def converted(question: Question, answer: bytes) -> list[JsonObject]:
    """The objects in the version that was asked for; Unusable with upstream's words."""
    try:
        found = _objects(question, answer)
    except Unusable as why:
        raise Unusable(f"{question.subject} failed: {why}") from None
    if len(found) != len(question.objects):
        raise Unusable(
            f"{question.subject} returned {len(found)} objects, expected {len(question.objects)}"
        )
    return [
        _checked(question, index, old, new)
        for index, (old, new) in enumerate(zip(question.objects, found, strict=True))
    ]


def _objects(question: Question, answer: bytes) -> list[JsonValue]:
    try:
        tree = codecs.loads_json(answer)
    except ValueError:
        tree = None
    if not isinstance(tree, dict):
        raise Unusable("couldn't get version/kind; json parse error: the answer is no JSON object")
    response = tree.get("response")
    strict = question.version() == "v1"
    if strict:
        _check_kind(tree)
    if not isinstance(response, dict):
        raise Unusable("no response provided")
    if strict and response.get("uid", "") != question.uid:
        given = quoted(str(response.get("uid", "")))
        raise Unusable(f"expected response.uid={quoted(question.uid)}, got {given}")
    result = response.get("result") or {}
    if result.get("status", "") != "Success":
        said = result.get("message") or ""
        status = result.get("status", "")
        raise Unusable(said or f"response.result.status was '{status}', not 'Success'")
    objects = response.get("convertedObjects") or []
    if not isinstance(objects, list):
        raise Unusable("convertedObjects is no list")
    return objects


def _check_kind(tree: JsonObject) -> None:
    found = str(tree.get("apiVersion", "")), str(tree.get("kind", ""))
    if found != (f"{_GROUP}/v1", "ConversionReview"):
        raise Unusable(
            f"expected webhook response of {_GROUP}/v1, Kind=ConversionReview, got {found[0]}, "
            f"Kind={found[1]}"
        )


def _checked(question: Question, index: int, old: JsonObject, new: JsonValue) -> JsonObject:
    """A converted object with the metadata that it must have."""
    where = f"converted object at index {index}" if question.is_list else "object at index 0"
    if not isinstance(new, dict):
        raise Unusable(f"{question.subject} returned invalid {where}: it is no object")
    group_version, kind = str(new.get("apiVersion", "")), str(new.get("kind", ""))
    if group_version != question.desired:
        raise Unusable(
            f"{question.subject} returned invalid {where}: invalid groupVersion (expected "
            f"{question.desired}, received {group_version})"
        )
    if kind != old["kind"]:
        raise Unusable(
            f"{question.subject} returned invalid {where}: invalid kind (expected {old['kind']}, "
            f"received {kind})"
        )
    at = f" at index {index}" if question.is_list else ""
    problem = _changed(old, new)
    if problem:
        what = "converted object" if question.is_list else "object"
        raise Unusable(f"{question.subject} returned invalid {what}{at}: {problem}")
    try:
        meta = _metadata(old, new)
    except Unusable as why:
        what = "metadata in object" if question.is_list else "metadata"
        raise Unusable(f"{question.subject} returned invalid {what}{at}: {why}") from None
    return {**new, "metadata": meta}


def _changed(old: JsonObject, new: JsonObject) -> str:
    """What of the metadata was changed that must stay."""
    given = new.get("metadata")
    before, after = old.get("metadata") or {}, given if isinstance(given, dict) else {}
    for key, name in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        expected, found = before.get(key, ""), after.get(key, "")
        if expected != found:
            return f"must have the same {name}: {expected} != {found}"
    return ""


def _metadata(old: JsonObject, new: JsonObject) -> JsonObject:
    """The metadata of the original, with the labels and annotations of the converted object."""
    if "metadata" not in new:
        raise Unusable("missing metadata in converted object")
    given = new["metadata"]
    if not isinstance(given, dict):
        raise Unusable(f"invalid metadata of type {_go_type(given)} in converted object")
    meta = dict(old.get("metadata") or {})
    for key in ("labels", "annotations"):
        pairs = given.get(key)
        if pairs is None:
            meta.pop(key, None)
            continue
        if not isinstance(pairs, dict):
            raise Unusable(f"invalid metadata.{key} of type {_go_type(pairs)} in converted object")
        if pairs != meta.get(key):
            _check_pairs(key, pairs)
        meta[key] = pairs
    return meta


def _check_pairs(key: str, pairs: dict[str, Any]) -> None:
    for name, value in pairs.items():
        if not isinstance(value, str):
            raise Unusable(
                f"metadata.{key}[{name}] must be a string, but is {_go_type(value)} in converted "
                "object"
            )
    check = objectmeta.labels if key == "labels" else objectmeta.annotations
    causes = check(pairs, "metadata.labels" if key == "labels" else "metadata.annotation")
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    if texts:
        raise Unusable(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def _go_type(value: JsonValue) -> str:
    """What Go calls the type of a decoded JSON value."""
    if value is None:
        return "<nil>"
    names = {bool: "bool", int: "int64", float: "float64", str: "string", list: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}")
