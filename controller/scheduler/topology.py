"""Pods that want to be near to or far from other pods: required terms and hard spreading.

Pure. Compiled once per attempt into sets of topology domains, so that examining a node costs a few
look-ups; a pod without terms, in a cluster of pods without terms, costs nothing. Preferred terms
and `ScheduleAnyway` are left out: they only rank nodes. Invariant: what cannot be evaluated (a
namespaceSelector that is not empty: the scheduler knows no namespaces) refuses the pod and says so.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod

SPREAD = "PodTopologySpread"
INTER_POD = "InterPodAffinity"
Domain = tuple[str, str]
"""A topology key and a node's value of it."""


class Term(msgspec.Struct, frozen=True):
    """One required term: the pods it means and the topology that they share."""

    key: str
    selector: labels.Selector
    namespaces: frozenset[str] | None
    """None: all."""
    unsupported: bool = False

    def means(self, pod: Pod) -> bool:
        """Whether this pod is one of those that the term is about."""
        metadata = pod.metadata
        inside = self.namespaces is None or metadata.namespace in self.namespaces
        return inside and self.selector.matches(metadata.labels)


class Spread(msgspec.Struct, frozen=True):
    """One hard topologySpreadConstraint."""

    key: str
    selector: labels.Selector
    max_skew: int
    min_domains: int
    honors_affinity: bool
    honors_taints: bool


class Terms(msgspec.Struct, frozen=True):
    """What one pod asks of the pods around it."""

    affinity: tuple[Term, ...] = ()
    anti: tuple[Term, ...] = ()
    spread: tuple[Spread, ...] = ()

    @property
    def unsupported(self) -> bool:
        """Whether a term cannot be evaluated here."""
        return any(term.unsupported for term in (*self.affinity, *self.anti))


def terms_of(pod: Pod) -> Terms | None:
    """A pod's required terms; None for almost every pod."""
    affinity = pod.spec.affinity or {}
    near = _required(affinity.get("podAffinity"))
    far = _required(affinity.get("podAntiAffinity"))
    spread = [
        tree
        for tree in pod.spec.topology_spread_constraints
        if tree.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
    ]
    if not near and not far and not spread:
        return None
    return Terms(
        tuple(_term(pod, tree) for tree in near),
        tuple(_term(pod, tree) for tree in far),
        tuple(_spread(pod, tree) for tree in spread),
    )


def _required(tree: JsonObject | None) -> Sequence[JsonObject]:
    return (tree or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()


def _term(pod: Pod, tree: JsonObject) -> Term:
    elsewhere: JsonObject | None = tree.get("namespaceSelector")
    selects_some = elsewhere is not None and any(elsewhere.values())
    names = tree.get("namespaces") or ()
    namespaces: frozenset[str] | None = frozenset(names)
    if elsewhere is not None and not selects_some:
        namespaces = None
    elif not names and elsewhere is None:
        namespaces = frozenset({pod.metadata.namespace})
    return Term(
        str(tree.get("topologyKey", "")),
        _selector(pod, tree),
        namespaces,
        unsupported=selects_some,
    )


def _spread(pod: Pod, tree: JsonObject) -> Spread:
    return Spread(
        str(tree.get("topologyKey", "")),
        _selector(pod, tree),
        int(tree.get("maxSkew") or 1),
        int(tree.get("minDomains") or 1),
        honors_affinity=tree.get("nodeAffinityPolicy", "Honor") != "Ignore",
        honors_taints=tree.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def _selector(pod: Pod, tree: JsonObject) -> labels.Selector:
    """The labelSelector, with the pod's own values of `matchLabelKeys` added."""
    found = tree.get("labelSelector")
    if found is None:
        return labels.NOTHING
    own = pod.metadata.labels
    keys = [key for key in tree.get("matchLabelKeys") or () if key in own]
    not_keys = [key for key in tree.get("mismatchLabelKeys") or () if key in own]
    expressions = [
        *(found.get("matchExpressions") or ()),
        *({"key": key, "operator": "In", "values": [own[key]]} for key in keys),
        *({"key": key, "operator": "NotIn", "values": [own[key]]} for key in not_keys),
    ]
    return labels.from_selector({**found, "matchExpressions": expressions})


class Place(msgspec.Struct, frozen=True):
    """A node as this module sees it: its labels, its pods, and whether the pod could go there."""

    labels: Mapping[str, str]
    pods: Iterable[Pod]
    matches_affinity: bool = True
    tolerated: bool = True


class Rules(msgspec.Struct, frozen=True):
    """Which domains are open to one pod."""

    spread: tuple[tuple[str, int, Mapping[str, int]], ...] = ()
    """(key, how many more matching pods a domain may have, matching pods by domain)."""
    near_keys: tuple[str, ...] = ()
    near: frozenset[Domain] = frozenset()
    bootstraps: bool = False
    """No pod matches the affinity yet, and this one matches its own: any domain will do."""
    far: frozenset[Domain] = frozenset()
    unwelcome: frozenset[Domain] = frozenset()
    """Domains from which the anti-affinity of pods there excludes this one."""


def rules(
    pod: Pod, terms: Terms | None, places: Sequence[Place], averse: Iterable[tuple[Place, Terms]]
) -> Rules | None:
    """Compile what holds for this pod now; None if nothing does.

    `places`: all nodes (looked at only if the pod has terms). `averse`: pods with required
    anti-affinity, each with the node it is on.
    """
    unwelcome = {
        (term.key, place.labels[term.key])
        for place, others in averse
        for term in others.anti
        if term.key in place.labels and term.means(pod)
    }
    if terms is None:
        return Rules(unwelcome=frozenset(unwelcome)) if unwelcome else None
    near = _domains(terms.affinity, places, all_terms=True)
    return Rules(
        spread=tuple(_counted(pod, spread, terms, places) for spread in terms.spread),
        near_keys=tuple(term.key for term in terms.affinity),
        near=near,
        bootstraps=not near and all(term.means(pod) for term in terms.affinity),
        far=_domains(terms.anti, places, all_terms=False),
        unwelcome=frozenset(unwelcome),
    )


def _domains(
    terms: Sequence[Term], places: Sequence[Place], *, all_terms: bool
) -> frozenset[Domain]:
    """Domains with a pod that all terms mean (each term's key), or that one means (its key)."""
    if not terms:
        return frozenset()
    found: set[Domain] = set()
    for place in places:
        for pod in place.pods:
            meant = [term for term in terms if term.means(pod)]
            if all_terms and len(meant) < len(terms):
                continue
            found.update(
                (term.key, place.labels[term.key]) for term in meant if term.key in place.labels
            )
    return frozenset(found)


def _counted(
    pod: Pod, spread: Spread, terms: Terms, places: Sequence[Place]
) -> tuple[str, int, Mapping[str, int]]:
    keys = [other.key for other in terms.spread]
    counts: dict[str, int] = {}
    for place in places:
        if any(key not in place.labels for key in keys):
            continue
        if (spread.honors_affinity and not place.matches_affinity) or (
            spread.honors_taints and not place.tolerated
        ):
            continue
        domain = place.labels[spread.key]
        counts[domain] = counts.get(domain, 0) + sum(
            other.metadata.namespace == pod.metadata.namespace
            and other.metadata.deletion_timestamp is None
            and spread.selector.matches(other.metadata.labels)
            for other in place.pods
        )
    least = min(counts.values(), default=0) if len(counts) >= spread.min_domains else 0
    own = spread.selector.matches(pod.metadata.labels)
    return spread.key, least + spread.max_skew - own, counts
