"""CustomResourceDefinitions in the form in which real API servers keep them: v1beta1, because it is
shorter (v1.36 still does; kubernetes issue 82292). It says once what all versions have in common.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions v1.36: conversion.go of v1,
zz_generated.conversion.go and defaults.go of v1beta1.
"""

from kubeherd.cluster.api.jsontypes import JsonObject

OLD_VERSION = "apiextensions.k8s.io/v1beta1"
NEW_VERSION = "apiextensions.k8s.io/v1"

_COMMON = {
    "validation": "schema",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}
"""Fields of the old spec, and what they are called in each version of the new one."""


def modernized(definition: JsonObject) -> JsonObject:
    """The definition as v1 has it; the argument is not changed."""
    spec = dict(definition.get("spec") or {})
    versions = [dict(one) for one in spec.pop("versions", None) or ()]
    name = spec.pop("version", "")
    if not versions and name:
        versions = [{"name": name, "served": True, "storage": True}]
    for old, new in _COMMON.items():
        common = spec.pop(old, None)
        if common is not None:
            for version in versions:
                version[new] = common
    spec["versions"] = [_version(one) for one in versions]
    spec["conversion"] = _conversion(spec.get("conversion") or {"strategy": "None"})
    if spec.setdefault("preserveUnknownFields", True) is False:
        del spec["preserveUnknownFields"]
    return {**definition, "apiVersion": NEW_VERSION, "spec": spec}


def _version(version: JsonObject) -> JsonObject:
    columns = version.get("additionalPrinterColumns")
    if not columns:
        return version
    return {**version, "additionalPrinterColumns": [_column(column) for column in columns]}


def _column(column: JsonObject) -> JsonObject:
    return {{"JSONPath": "jsonPath"}.get(name, name): value for name, value in column.items()}


def _conversion(conversion: JsonObject) -> JsonObject:
    out = dict(conversion)
    client = out.pop("webhookClientConfig", None)
    reviews = out.pop("conversionReviewVersions", None)
    webhook = {"clientConfig": client, "conversionReviewVersions": reviews}
    webhook = {name: value for name, value in webhook.items() if value is not None}
    return {**out, "webhook": webhook} if webhook else out
