"""RBAC: roles and bindings as stored objects, compiled to rules per subject.

Source: spec api-machinery, section 20. The compiled form is built on first use after a change.
Aggregated ClusterRoles (``aggregationRule``) are resolved when compiling, by their label selectors.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import chain
from typing import TypeVar

import msgspec
import orjson

from kubeherd.cluster.api import kinds, labels
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.apiserver.access.authz.attributes import Attributes, Decision
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.read.lookup import Lookup

GROUP = "rbac.authorization.k8s.io"
ROLES = kinds.resource(GROUP, "v1", "roles")
CLUSTER_ROLES = kinds.resource(GROUP, "v1", "clusterroles")
ROLE_BINDINGS = kinds.resource(GROUP, "v1", "rolebindings")
CLUSTER_ROLE_BINDINGS = kinds.resource(GROUP, "v1", "clusterrolebindings")
_COMPILED = (CLUSTER_ROLES, ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS)

T = TypeVar("T")
_Stored = tuple[tuple[bytes, ...], ...]
"""The objects of each of them, as they are stored."""


class Rule(msgspec.Struct, frozen=True):
    """One PolicyRule."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...]
    urls: tuple[str, ...]

    def allows(self, attributes: Attributes) -> bool:
        if "*" not in self.verbs and attributes.verb not in self.verbs:
            return False
        if attributes.path:
            return any(_url_matches(url, attributes.path) for url in self.urls)
        return (
            ("*" in self.groups or attributes.group in self.groups)
            and self._resource_matches(attributes)
            and (not self.names or attributes.name in self.names)
        )

    def _resource_matches(self, attributes: Attributes) -> bool:
        if "*" in self.resources or attributes.resource_path in self.resources:
            return True
        return bool(attributes.subresource) and f"*/{attributes.subresource}" in self.resources

    def to_json(self) -> JsonObject:
        named = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.urls,
        }
        return {key: list(values) for key, values in named.items() if values}


EVERYTHING = (Rule(("*",), ("*",), ("*",), (), ()), Rule(("*",), (), (), (), ("*",)))
"""What ``cluster-admin`` allows."""


def _url_matches(pattern: str, path: str) -> bool:
    if pattern == "*" or pattern == path:
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def rule_from_json(tree: JsonObject) -> Rule:
    return Rule(
        tuple(tree.get("verbs") or ()),
        tuple(tree.get("apiGroups") or ()),
        tuple(tree.get("resources") or ()),
        tuple(tree.get("resourceNames") or ()),
        tuple(tree.get("nonResourceURLs") or ()),
    )


class _Grant(msgspec.Struct, frozen=True):
    """Rules given by one binding; `namespace` empty for a ClusterRoleBinding."""

    namespace: str
    rules: tuple[Rule, ...]
    reason: str


class _Compiled(msgspec.Struct, frozen=True):
    """All roles and bindings. `named`: the resources of rules that hold for some names only."""

    grants: dict[tuple[str, str], list[_Grant]]
    roles: dict[tuple[str, str, str], tuple[Rule, ...]]
    named: frozenset[str]


class RbacAuthorizer:
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._made: _Compiled | None = None

    def invalidate(self) -> None:
        self._made = None

    def minds_name(self, attributes: Attributes) -> bool:
        """Whether any rule could answer otherwise for another name."""
        named = self._compiled().named
        return bool(named) and (
            "*" in named
            or attributes.resource_path in named
            or f"*/{attributes.subresource}" in named
        )

    def authorize(self, attributes: Attributes) -> Decision:
        """Allowed by the first rule of a binding of the user or one of its groups."""
        for grant in self._grants(attributes.user):
            if grant.namespace and (attributes.path or grant.namespace != attributes.namespace):
                continue
            for rule in grant.rules:
                if rule.allows(attributes):
                    return Decision(True, grant.reason)
        return Decision(False)

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """The rules of a user in one namespace, each once."""
        found: dict[Rule, None] = {}
        for grant in self._grants(user):
            if grant.namespace in ("", namespace):
                found.update(dict.fromkeys(grant.rules))
        return list(found)

    def role_rules(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of a Role or ClusterRole, None if it does not exist."""
        return self._compiled().roles.get(_role_key(kind, namespace, name))

    def _compiled(self) -> _Compiled:
        if self._made is None:
            self._made = _compile(tuple(tuple(self._lookup.stored(one)) for one in _COMPILED))
        return self._made

    def _grants(self, user: User) -> Iterable[_Grant]:
        by_subject = self._compiled().grants
        yield from by_subject.get(("User", user.name), ())
        for group in user.groups:
            yield from by_subject.get(("Group", group), ())


def _role_key(kind: str, namespace: str, name: str) -> tuple[str, str, str]:
    return (kind, "" if kind == "ClusterRole" else namespace, name)


class _Role(msgspec.Struct, frozen=True):
    """What one role says. `selectors` choose the roles whose rules an aggregated one has."""

    key: tuple[str, str, str]
    rules: tuple[Rule, ...]
    labels: dict[str, str]
    selectors: tuple[Selector, ...]


class _Bound(msgspec.Struct, frozen=True):
    """What one binding gives: the role of this key to each subject, who is shown so."""

    namespace: str
    role: tuple[str, str, str]
    reason: str
    subjects: tuple[tuple[tuple[str, str], str], ...]


_roles_read: dict[bytes, _Role] = {}
_bindings_read: dict[bytes, _Bound] = {}
"""Those of the objects that were compiled last: a write to one of them does not make all the others
be read again."""


@lru_cache(maxsize=1)
def _compile(stored: _Stored) -> _Compiled:
    """What the objects of `_COMPILED` make together. Kept, as servers that begin one after the
    other in a process, those of simulations, nearly always have the same."""
    cluster_roles, here, *bindings = stored
    roles = _aggregated(_read(_roles_read, (*cluster_roles, *here), _role))
    named = {
        resource
        for rules in roles.values()
        for rule in rules
        if rule.names
        for resource in rule.resources
    }
    bound = _read(_bindings_read, chain.from_iterable(bindings), _binding)
    return _Compiled(_grants_of(bound, roles), roles, frozenset(named))


def _read(known: dict[bytes, T], stored: Iterable[bytes], read: Callable[[bytes], T]) -> list[T]:
    """What these objects say; `known` is of the last ones, and is made that of these."""
    now = {raw: known.get(raw) or read(raw) for raw in stored}
    known.clear()
    known.update(now)
    return list(now.values())


def _grants_of(
    bindings: Iterable[_Bound], roles: dict[tuple[str, str, str], tuple[Rule, ...]]
) -> dict[tuple[str, str], list[_Grant]]:
    by_subject: dict[tuple[str, str], list[_Grant]] = {}
    for binding in bindings:
        rules = roles.get(binding.role)
        if not rules:
            continue
        for subject, shown in binding.subjects:
            grant = _Grant(binding.namespace, rules, f"{binding.reason} to {shown}")
            by_subject.setdefault(subject, []).append(grant)
    return by_subject


def _aggregated(roles: Iterable[_Role]) -> dict[tuple[str, str, str], tuple[Rule, ...]]:
    """The rules; an aggregated role has those of the roles that its selectors match."""
    own = {role.key: role.rules for role in roles}
    for role in roles:
        if not role.selectors:
            continue
        collected: dict[Rule, None] = {}
        for selector in role.selectors:
            for other in roles:
                if other.key[0] == role.key[0] and selector.matches(other.labels):
                    collected.update(dict.fromkeys(other.rules))
        own[role.key] = tuple(collected)
    return own


def _role(raw: bytes) -> _Role:
    tree = orjson.loads(raw)
    meta = tree["metadata"]
    selectors = (tree.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    return _Role(
        _role_key(tree["kind"], meta.get("namespace", ""), meta["name"]),
        tuple(rule_from_json(rule) for rule in tree.get("rules") or ()),
        meta.get("labels") or {},
        tuple(map(labels.from_selector, selectors)),
    )


def _binding(raw: bytes) -> _Bound:
    tree = orjson.loads(raw)
    meta = tree["metadata"]
    namespace, ref = meta.get("namespace", ""), tree.get("roleRef") or {}
    name = ref.get("name", "")
    return _Bound(
        namespace,
        _role_key(ref.get("kind", ""), namespace, name),
        f'RBAC: allowed by {tree["kind"]} "{_full_name(meta)}" of {ref.get("kind", "")} "{name}"',
        tuple(
            (_subject_key(subject, namespace), _shown(subject, namespace))
            for subject in tree.get("subjects") or ()
        ),
    )


def _full_name(meta: JsonObject) -> str:
    namespace = meta.get("namespace", "")
    return f"{meta['name']}/{namespace}" if namespace else str(meta["name"])


def _subject_key(subject: JsonObject, namespace: str) -> tuple[str, str]:
    if subject.get("kind") == "ServiceAccount":
        home = subject.get("namespace") or namespace
        if not home:
            return "", ""  # nobody: validation refuses it, older stores may hold it
        return "User", f"system:serviceaccount:{home}:{subject.get('name', '')}"
    return str(subject.get("kind", "")), str(subject.get("name", ""))


def _shown(subject: JsonObject, namespace: str) -> str:
    name = subject.get("name", "")
    if subject.get("kind") == "ServiceAccount":
        name = f"{name}/{subject.get('namespace') or namespace}"
    return f'{subject.get("kind", "")} "{name}"'
