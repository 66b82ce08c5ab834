"""Validation of what a version of a CustomResourceDefinition consists of, and of its conversion.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation.
"""

from collections.abc import Collection, Iterator, Mapping
from urllib.parse import urlsplit

import msgspec

from kubeherd.cluster.api import names
from kubeherd.cluster.api.customresources import schemarules
from kubeherd.cluster.api.customresources.schema import Schema, properties
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = (
    "byte", "date", "date-time", "double", "float", "int32", "int64", "password",
)  # fmt: skip
_MAX_SELECTABLE = 8
_MAX_WARNING = 256
_REVIEW_VERSIONS = ("v1", "v1beta1")
_SELECTABLE = (
    "must point to a field of type string, boolean or integer. Enum string fields and strings with "
    "formats are allowed."
)
_FORM = "; desired format: https://host[/path]"


class Version(msgspec.Struct, frozen=True):
    """One version and where its parts are in the definition."""

    tree: JsonObject
    paths: Mapping[str, str]

    def check(self, skip: Collection[str], *, known: bool) -> list[Cause]:
        """The causes of its parts but those to `skip`; `known`: its schema was there before."""
        causes: list[Cause] = []
        if "schema" not in skip:
            causes += self._deprecation()
            schema = schemarules.schema_of(self.tree)
            if schema:
                path = f"{self.paths['schema']}.openAPIV3Schema"
                status = (self.tree.get("subresources") or {}).get("status") is not None
                causes += schemarules.check(schema, path, status=status, known=known)
        if "subresources" not in skip:
            scale = (self.tree.get("subresources") or {}).get("scale")
            if scale is not None:
                causes += _scale(scale, self.paths["subresources"])
        if "additionalPrinterColumns" not in skip:
            for index, column in enumerate(self.tree.get("additionalPrinterColumns") or ()):
                causes += _column(column, f"{self.paths['additionalPrinterColumns']}[{index}]")
        if "selectableFields" not in skip:
            fields = self.tree.get("selectableFields") or []
            schema = schemarules.schema_of(self.tree)
            causes += _selectable(fields, schema, self.paths["selectableFields"])
        return causes

    def _deprecation(self) -> Iterator[Cause]:
        text = self.tree.get("deprecationWarning")
        path = f"{self.paths['schema'].rpartition('.')[0]}.deprecationWarning"
        if text is None:
            return
        if not self.tree.get("deprecated"):
            yield invalid(path, text, "can only be set for deprecated versions")
            return
        if len(text) > _MAX_WARNING:
            yield invalid(path, text, "must be <= 256 characters long")
        if not text:
            yield invalid(path, text, "must not be an empty string")
        at = next((i for i, char in enumerate(text) if not char.isprintable()), None)
        if at is not None:
            detail = (
                "must only contain printable UTF-8 characters; non-printable character found at "
                f"index {at}"
            )
            yield invalid(path, text, detail)


def _json_path(text: str, path: str) -> list[Cause]:
    if text.startswith("."):
        return []
    return [invalid(path, text, "must be a simple json path starting with .")]


def _column(column: JsonObject, path: str) -> list[Cause]:
    causes = [] if column.get("name") else [required(f"{path}.name")]
    types = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not column.get("type"):
        causes.append(required(f"{path}.type", types))
    elif column["type"] not in _COLUMN_TYPES:
        causes.append(invalid(f"{path}.type", column["type"], types))
    shown = column.get("format", "")
    if shown and shown not in _COLUMN_FORMATS:
        detail = f"must be one of {','.join(_COLUMN_FORMATS)}"
        causes.append(invalid(f"{path}.format", shown, detail))
    if not column.get("jsonPath"):
        return [*causes, required(f"{path}.JSONPath")]
    return causes + _json_path(column["jsonPath"], f"{path}.JSONPath")


def _scale(scale: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name, parent in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value, at = scale.get(name, ""), f"{path}.scale.{name}"
        if not value:
            causes.append(required(at))
        elif problems := _json_path(value, at):
            causes += problems
        elif not value.startswith(parent):
            detail = f"should be a json path under {parent.rstrip('.')}"
            causes.append(invalid(at, value, detail))
    value, at = scale.get("labelSelectorPath") or "", f"{path}.scale.labelSelectorPath"
    if value and (problems := _json_path(value, at)):
        causes += problems
    elif value and not value.startswith((".spec.", ".status.")):
        detail = "should be a json path under either .spec or .status"
        causes.append(invalid(at, value, detail))
    return causes


def _selectable(fields: list[JsonObject], schema: Schema, path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, field in enumerate(fields):
        at, text = f"{path}[{index}].jsonPath", field.get("jsonPath", "")
        if not text:
            yield required(at)
            continue
        found: Schema | None = schema
        for name in text.removeprefix(".").split("."):
            found = properties(found).get(name)
            if found is None:
                yield invalid(at, text, "is an invalid path: does not refer to a valid field")
                break
        else:
            if text.startswith(".metadata"):
                yield invalid(at, text, "must not point to fields in metadata")
            if found is not None and found.get("type") not in ("string", "boolean", "integer"):
                yield invalid(at, text, _SELECTABLE)
            if text in seen:
                yield duplicate(at, text)
            seen.add(text)
    if len(seen) > _MAX_SELECTABLE:
        text = f"Too many: {len(seen)}: must have at most {_MAX_SELECTABLE} items"
        yield Cause("FieldValueTooMany", text, path)


def check_conversion(conversion: JsonObject, path: str) -> list[Cause]:
    """Strategy None, or Webhook and all that it needs."""
    strategy, webhook = conversion.get("strategy", ""), conversion.get("webhook")
    if not strategy:
        return [required(f"{path}.strategy")]
    if strategy not in ("None", "Webhook"):
        return [not_supported(f"{path}.strategy", strategy, ("None", "Webhook"))]
    client, versions = (
        (webhook or {}).get("clientConfig"),
        (webhook or {}).get("conversionReviewVersions"),
    )
    if strategy == "Webhook":
        return [*_client(client, f"{path}.webhookClientConfig"), *_reviews(versions or [], path)]
    detail = "should not be set when strategy is not set to Webhook"
    causes = [forbidden(f"{path}.webhookClientConfig", detail)] if client else []
    if versions:
        causes.append(forbidden(f"{path}.conversionReviewVersions", detail))
    return causes


def _client(client: JsonObject | None, path: str) -> Iterator[Cause]:
    if client is None:
        yield required(path, "required when strategy is set to Webhook")
        return
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _url(url, f"{path}.url")
    elif service is not None:
        for name in ("name", "namespace"):
            if not service.get(name):
                yield required(f"{path}.service.{name}")


def _url(text: str, path: str) -> Iterator[Cause]:
    try:
        parts = urlsplit(text)
    except ValueError as error:
        yield required(path, f"url must be a valid URL: {error}{_FORM}")
        return
    if parts.scheme != "https":
        yield invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    if not parts.netloc:
        yield invalid(path, parts.netloc, f"host must be specified{_FORM}")
    if parts.username is not None:
        detail = "user information is not permitted in the URL"
        yield invalid(path, parts.username, detail)
    if parts.fragment:
        yield invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid(path, parts.query, "query parameters are not permitted in the URL")


def _reviews(versions: list[str], path: str) -> Iterator[Cause]:
    at = f"{path}.conversionReviewVersions"
    if not versions:
        yield required(at)
        return
    for index, name in enumerate(versions):
        if name in versions[:index]:
            yield invalid(f"{at}[{index}]", name, "duplicate version")
            continue
        for problem in names.dns1035_label(name):
            yield invalid(f"{at}[{index}]", name, problem)
    if not set(versions).intersection(_REVIEW_VERSIONS):
        detail = f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"
        yield invalid(at, versions, detail)
