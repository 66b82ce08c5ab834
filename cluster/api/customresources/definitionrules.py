"""Validation of CustomResourceDefinitions.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation. Kubernetes validates an
internal form, in which what all versions have alike stands at the top: hence the fields in the
causes (``spec.validation.openAPIV3Schema`` for the schema of a definition with one version).
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from kubeherd.cluster.api import names
from kubeherd.cluster.api.customresources import formats, schemarules
from kubeherd.cluster.api.customresources.definition import is_true
from kubeherd.cluster.api.customresources.naming import APPROVAL, is_protected
from kubeherd.cluster.api.customresources.schema import walk
from kubeherd.cluster.api.customresources.versionrules import Version, check_conversion
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.validation import objectmeta
from kubeherd.cluster.api.validation.causes import invalid, not_supported, required
from kubeherd.cluster.api.validation.checks import immutable

_APPROVAL_PATH = f"metadata.annotations[{APPROVAL}]"
_ENHANCEMENT = "see https://github.com/kubernetes/enhancements/pull/1111"
_MIXED = "may have mixed case, but should otherwise match: "
_SHARED = (
    ("schema", "spec.validation", "schema"),
    ("subresources", "spec.subresources", "subresources"),
    ("additionalPrinterColumns", "spec.additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "spec.selectableFields", "selectableFields"),
)
"""Parts of a version, and where each is if all versions have the same one."""


def create(resource: Resource, tree: JsonObject) -> list[Cause]:
    """The causes for which a new definition is refused."""
    meta = tree.get("metadata") or {}
    causes = objectmeta.create(resource, meta)
    spec = tree.get("spec") or {}
    wanted = f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}"
    if meta.get("name") and meta["name"] != wanted:
        detail = 'must be spec.names.plural+"."+spec.group'
        causes.append(invalid("metadata.name", meta["name"], detail))
    causes += _spec(spec, {})
    causes += _stored_versions(tree)
    causes += _approval(tree, None)
    return causes + _preserve(spec, {})


def update(new: JsonObject, old: JsonObject, subresource: str) -> list[Cause]:
    """The causes for which `new` may not replace `old`, as a whole or in its status."""
    causes = objectmeta.change(new["metadata"], old["metadata"])
    accepted = (new.get("status") or {}).get("acceptedNames") or {}
    if subresource:
        return [*causes, *_names(accepted, "status.acceptedNames")]
    spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    causes += _spec(spec, old_spec)
    kept = [("group", "spec"), ("plural", "spec.names")]
    if is_true(old, "Established"):
        kept = [("scope", "spec"), ("kind", "spec.names"), *kept]
    for name, at in kept:
        before, after = (s if at == "spec" else s.get("names") or {} for s in (old_spec, spec))
        causes += immutable(after.get(name, ""), before.get(name, ""), f"{at}.{name}")
    causes += _names(accepted, "status.acceptedNames")
    causes += _stored_versions(new)
    causes += _approval(new, old)
    return causes + _preserve(spec, old_spec)


def warnings(new: JsonObject, old: JsonObject) -> list[str]:
    """What a write is warned of: formats that are not checked, as far as they are new."""
    known = set(_unrecognised(old))
    return [f"unrecognized format {quoted(f)}" for f in _unrecognised(new) if f not in known]


def _unrecognised(tree: JsonObject) -> Iterator[str]:
    for version in (tree.get("spec") or {}).get("versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        yield from filter(None, map(formats.unrecognised, walk(schema)))


def _preserve(spec: JsonObject, old: JsonObject) -> list[Cause]:
    if not spec.get("preserveUnknownFields") or old.get("preserveUnknownFields"):
        return []
    detail = (
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
        "spec.versions[*].schema instead"
    )
    return [invalid("spec.preserveUnknownFields", True, detail)]


# --- spec ---


def _spec(spec: JsonObject, old: JsonObject) -> list[Cause]:
    causes = [*_group(spec.get("group", "")), *_scope(spec.get("scope", ""))]
    versions = spec.get("versions") or []
    shared = _shared(versions)
    for index, version in enumerate(versions):
        if not schemarules.schema_of(version):
            path = f"spec.versions[{index}].schema.openAPIV3Schema"
            causes.append(required(path))
    unchanged = _unchanged(versions, old.get("versions") or [])
    for index, version in enumerate(versions):
        at = f"spec.versions[{index}]"
        problems = names.dns1035_label(version.get("name", ""))
        if problems:
            causes.append(invalid(f"{at}.name", version.get("name", ""), ",".join(problems)))
        own = Version(version, {name: f"{at}.{part}" for name, _, part in _SHARED})
        causes += own.check(skip=shared, known=version.get("name") in unchanged)
    causes += _version_list(versions)
    given = spec.get("names") or {}
    causes += [
        required(f"spec.names.{name}")
        for name in ("plural", "singular", "kind", "listKind")
        if not given.get(name)
    ]
    causes += _names(given, "spec.names")
    if versions:
        top = Version(versions[0], {name: path for name, path, _ in _SHARED})
        others = {name for name, _, _ in _SHARED} - shared
        causes += top.check(skip=others, known=versions[0].get("name") in unchanged)
    return causes + check_conversion(spec.get("conversion") or {}, "spec.conversion")


def _shared(versions: list[JsonObject]) -> set[str]:
    """The parts that all versions have alike."""
    if not versions:
        return set()
    first = versions[0]
    return {
        name
        for name, _, _ in _SHARED
        if all(version.get(name) == first.get(name) for version in versions)
    }


def _unchanged(versions: list[JsonObject], old: list[JsonObject]) -> set[str]:
    before = {version.get("name", ""): version.get("schema") for version in old}
    names_now = ((version.get("name", ""), version.get("schema")) for version in versions)
    return {name for name, schema in names_now if name in before and before[name] == schema}


def _group(group: str) -> Iterator[Cause]:
    problems = names.dns_subdomain(group)
    if not group:
        yield required("spec.group")
    elif problems:
        yield invalid("spec.group", group, ",".join(problems))
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")


def _scope(scope: str) -> Iterator[Cause]:
    allowed = ("Cluster", "Namespaced")
    if not scope:
        yield required("spec.scope")
    elif scope not in allowed:
        yield not_supported("spec.scope", scope, allowed)


def _version_list(versions: list[JsonObject]) -> Iterator[Cause]:
    if len({version.get("name") for version in versions}) != len(versions):
        yield invalid("spec.versions", versions, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        yield invalid("spec.versions", versions, detail)


def _names(given: JsonObject, path: str) -> Iterator[Cause]:
    for name in ("plural", "singular", "kind", "listKind"):
        value = given.get(name, "")
        is_kind = name in ("kind", "listKind")
        problems = names.dns1035_label(value.lower() if is_kind else value) if value else []
        if problems:
            detail = (_MIXED if is_kind else "") + ",".join(problems)
            yield invalid(f"{path}.{name}", value, detail)
    yield from _labels(given, "shortNames", path)
    if given.get("kind") and given["kind"] == given.get("listKind"):
        detail = "kind and listKind may not be the same"
        yield invalid(f"{path}.listKind", given["listKind"], detail)
    yield from _labels(given, "categories", path)


def _labels(given: JsonObject, name: str, path: str) -> Iterator[Cause]:
    for index, value in enumerate(given.get(name) or ()):
        problems = names.dns1035_label(value)
        if problems:
            yield invalid(f"{path}.{name}[{index}]", value, ",".join(problems))


def _stored_versions(tree: JsonObject) -> Iterator[Cause]:
    path = "status.storedVersions"
    stored = (tree.get("status") or {}).get("storedVersions") or []
    versions = (tree.get("spec") or {}).get("versions") or []
    if not stored:
        yield invalid(path, [], "must have at least one stored version")
        return
    for version in versions:
        name = version.get("name", "")
        if version.get("storage") and name not in stored:
            yield invalid(path, stored, f"must have the storage version {name}")
    known = {version.get("name") for version in versions}
    for index, name in enumerate(stored):
        if name not in known:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must "
                "remain in spec.versions until a storage migration ensures no data remains "
                f"persisted in {name} and removes {name} from status.storedVersions"
            )
            yield invalid(f"{path}[{index}]", name, detail)


# --- groups of Kubernetes ---


def _approval_problem(tree: JsonObject) -> tuple[JsonValue, str]:
    """The annotation, and what is wrong with it ("": nothing)."""
    value = (tree["metadata"].get("annotations") or {}).get(APPROVAL, "")
    rule = f"protected groups must have approval annotation {quoted(APPROVAL)}"
    if not value:
        return value, f"{rule}, {_ENHANCEMENT}"
    parts = urlsplit(value)
    if value.startswith("unapproved") or (parts.scheme and parts.netloc):
        return value, ""
    either = 'with either a URL or a reason starting with "unapproved"'
    return value, f"{rule} {either}, {_ENHANCEMENT}"


def _approval(new: JsonObject, old: JsonObject | None) -> list[Cause]:
    if not is_protected((new.get("spec") or {}).get("group", "")):
        return []
    value, problem = _approval_problem(new)
    if not problem or (old is not None and _approval_problem(old)[1] == problem):
        return []
    if not value:
        return [required(_APPROVAL_PATH, problem)]
    return [invalid(_APPROVAL_PATH, value, problem)]
