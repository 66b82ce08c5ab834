"""The ``fieldPath`` of a rule: names and keys below the schema that has the rule.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go (ValidFieldPath).
"""

import re

from kubeherd.cluster.api.customresources.schema import (
    Schema,
    additional,
    has_additional,
    properties,
)

_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\['(?P<key>(?:\\.|[^'\\])*)'\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PLAIN = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'",
    "\\": "\\",
}  # fmt: skip


def normalised(text: str, schema: Schema) -> str | None:
    """The path as causes write it (``spec.list``, ``[key]``); None if it leads nowhere."""
    at, found, steps = 0, schema, ""
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            return None
        name = match["name"] if match["name"] is not None else _unescaped(match["key"])
        if name is None:
            return None
        declared = properties(found)
        if declared:
            if name not in declared:
                return None
            found, steps = declared[name], f"{steps}.{name}"
        elif has_additional(found):
            found, steps = additional(found) or {}, f"{steps}[{name}]"
        else:
            return None
        at = match.end()
    return steps.removeprefix(".")


def _unescaped(text: str) -> str | None:
    if any(match[1] not in _PLAIN for match in _ESCAPE.finditer(text)):
        return None
    return _ESCAPE.sub(lambda match: _PLAIN[match[1]], text)
