"""Whether the rules that somebody holds cover the rules that he wants to give (pure).

Source: Kubernetes v1.36, component-helpers/auth/rbac/validation/policy_comparator.go and
pkg/registry/rbac/validation/policy_compact.go. A rule is split into its smallest parts, each of
which one rule alone must cover. Invariant: the work is bounded (`TooMany`), because a rule of 3 MB
has more parts than there is time.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.apiserver.access.authz.rbac import Rule

MOST_COMPARISONS = 100_000
"""About a tenth of a second, in which nobody else is served."""

MOST_PARTS = 20_000


class TooMany(Exception):
    """The rules have too many parts to compare."""


def missing(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The parts of `wanted` that no rule of `held` covers; raises `TooMany`."""
    held = list(dict.fromkeys(held))
    left, found = MOST_COMPARISONS, []
    for rule in dict.fromkeys(wanted):
        left -= len(held) + _length(rule)
        if left < 0:
            raise TooMany
        if any(_covers(one, rule) for one in held):
            continue  # by one rule as a whole: so are all of its parts
        count = _count(rule)
        left -= count * len(held)
        if left < 0 or count > MOST_PARTS:
            raise TooMany
        found += [part for part in _parts(rule) if not any(_covers(one, part) for one in held)]
    return found


def _count(rule: Rule) -> int:
    return len(rule.verbs) * (
        len(rule.groups) * len(rule.resources) * max(1, len(rule.names)) + len(rule.urls)
    )


def _length(rule: Rule) -> int:
    lists = (rule.verbs, rule.groups, rule.resources, rule.names, rule.urls)
    return sum(map(len, lists))


def _parts(rule: Rule) -> Iterator[Rule]:
    """Rules with one verb and one group, resource and name, or one verb and one URL."""
    names: list[tuple[str, ...]] = [(name,) for name in rule.names] or [()]
    for group, resource, verb, name in product(rule.groups, rule.resources, rule.verbs, names):
        yield Rule((verb,), (group,), (resource,), name, ())
    for url, verb in product(rule.urls, rule.verbs):
        yield Rule((verb,), (), (), (), (url,))


def _covers(held: Rule, wanted: Rule) -> bool:
    return (
        _has_all(held.verbs, wanted.verbs)
        and _has_all(held.groups, wanted.groups)
        and all(_covers_resource(held.resources, resource) for resource in wanted.resources)
        and (not held.names or (bool(wanted.names) and set(wanted.names) <= set(held.names)))
        and all(any(_covers_url(own, url) for own in held.urls) for url in wanted.urls)
    )


def _has_all(held: Sequence[str], wanted: Sequence[str]) -> bool:
    return "*" in held or all(one in held for one in wanted)


def _covers_resource(held: Sequence[str], wanted: str) -> bool:
    if "*" in held or wanted in held:
        return True
    _, slash, subresource = wanted.partition("/")
    return bool(slash) and f"*/{subresource}" in held


def _covers_url(held: str, wanted: str) -> bool:
    return held == wanted or (held.endswith("*") and wanted.startswith(held.rstrip("*")))


def described(parts: Iterable[Rule]) -> list[str]:
    """Sorted texts of parts, those that differ in their verbs only in one."""
    verbs: dict[Rule, list[str]] = {}
    for part in parts:
        # Upstream leaves URLs as they are.
        key = part if part.urls else Rule((), part.groups, part.resources, part.names, ())
        verbs.setdefault(key, []).extend(part.verbs)
    return sorted(_text(rule, given) for rule, given in verbs.items())


def _text(rule: Rule, verbs: Sequence[str]) -> str:
    lists = (
        ("APIGroups", rule.groups), ("Resources", rule.resources),
        ("NonResourceURLs", rule.urls), ("ResourceNames", rule.names), ("Verbs", verbs),
    )  # fmt: skip
    return "{" + ", ".join(f"{name}:{go_list(items)}" for name, items in lists if items) + "}"


def go_list(items: Iterable[str]) -> str:
    """Go's ``%q`` of a []string: ``["a" "b"]``."""
    return "[" + " ".join(quoted(item) for item in items) + "]"
