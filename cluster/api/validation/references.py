"""Rules of the small structs in which one object names another, or a host or a path."""

import re

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import invalid, invalid_each, required

_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_WILDCARD = r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which "
    "must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric "
    f"character (e.g. '*.example.com', regex used for validation is '{_WILDCARD}')"
)


def segment(tree: JsonObject, name: str, path: str, detail: str = "") -> list[Cause]:
    """A required field that will be part of a URL; `detail` says what an empty one lacks."""
    value = tree.get(name) or ""
    if not value:
        return [required(f"{path}.{name}", detail)]
    return invalid_each(f"{path}.{name}", value, names.path_segment(value))


def group_kind_name(tree: JsonObject, path: str) -> list[Cause]:
    """A typed reference: an API group that may be absent, kind and name."""
    causes: list[Cause] = []
    group = tree.get("apiGroup")
    if group is not None:
        causes += invalid_each(f"{path}.apiGroup", group, names.dns_subdomain(group))
    return causes + segment(tree, "kind", path) + segment(tree, "name", path)


def wildcard_host(host: str) -> list[str]:
    """What is wrong with a host name that has a ``*`` in it."""
    problems = [names.too_long(names.MAX_SUBDOMAIN)] if len(host) > names.MAX_SUBDOMAIN else []
    if not re.fullmatch(_WILDCARD, host[: names.MAX_SUBDOMAIN + 1]):
        problems.append(_WILDCARD_TEXT)
    return problems


def qualified_domain(name: str, path: str) -> list[Cause]:
    """A name such as ``hooks.example.com``: a subdomain of at least three segments."""
    if not name:
        return [required(path)]
    problems = names.dns_subdomain(name)
    if problems:
        return [invalid(path, name, ",".join(problems))]
    if name.count(".") < 2:
        detail = "should be a domain with at least three segments separated by dots"
        return [invalid(path, name, detail)]
    return []


def domain_prefixed_path(text: str, path: str) -> list[Cause]:
    """A name such as ``example.com/controller``."""
    if not text:
        return [required(path)]
    host, _, rest = text.partition("/")
    if not host or not rest:
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return [invalid(path, text, detail)]
    causes = invalid_each(path, host, names.dns_subdomain(host))
    if not re.fullmatch(_HTTP_PATH, rest):
        detail = f"Invalid path (regex used for validation is '{_HTTP_PATH}')"
        causes.append(invalid(path, rest, detail))
    return causes
