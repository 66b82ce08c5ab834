"""The pods of a DaemonSet by node, kept up to date (spec sections 5.1, 5.3, 7, 8.1, 10).

So a change of one pod or node costs as much as that pod or node, not as all of them. The owner of a
placement tells it of changed pods and nodes; `refresh` then judges anew the nodes that they concern
(`site`), and those on which a pod has become available by waiting. Invariants: a pod is on exactly
one node or on none; all sums are those of the last judgements; a placement that was kept and one
that was made anew from the same pods and nodes are equal.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from heapq import merge

from kubeherd.cluster.api.helpers.podutil import AgeOf, is_terminal, is_terminating
from kubeherd.cluster.api.helpers.scheduling import target_node_name
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.controller.daemonset import site as sites
from kubeherd.controller.daemonset.model import HASH_LABEL, StatusNumbers, Terms
from kubeherd.controller.daemonset.nodes import NEVER
from kubeherd.controller.daemonset.ordered import Ordered
from kubeherd.controller.daemonset.site import (
    Candidate,
    Facts,
    Judgement,
    Need,
    NodePods,
    PodKey,
    Rolling,
    Site,
    key_of,
)
from kubeherd.controller.daemonset.template import Template
from kubeherd.controller.workload.claim import Owner, Standing, standing
from kubeherd.controller.workload.pods.activepods import until_available_s

_LONG_AGO = "2000-01-01T00:00:00Z"
"""Whether the clock was set back shows in the age of this moment."""


class Placement:
    """The nodes, and the pods on them, of one DaemonSet with one template."""

    def __init__(self, owner: Owner, template: Template) -> None:
        self.template = template
        self.terms = Terms()
        self.pods: dict[PodKey, Pod] = {}
        """All claimed pods."""
        self.adopt: dict[PodKey, Pod] = {}
        self.release: dict[PodKey, Pod] = {}
        self.hashes: Counter[str] = Counter()
        """The number of claimed pods on nodes, by the hash of their template."""
        self._owner = owner
        self._sites: dict[str, Site] = {}
        self._stale: set[str] = set()
        self._numbers: Counter[sites.Numbers] = Counter()
        self._rolling: Counter[Rolling] = Counter()
        self._shared_numbers: dict[sites.Numbers, sites.Numbers] = {}
        self._shared_rolling: dict[Rolling, Rolling] = {}
        """There are few different values, which thousands of sites share."""
        self._judged: dict[Facts, Judgement] = {}
        """The judgements of nodes with the same facts, under the present terms."""
        self._candidates: dict[Candidate, Ordered[str]] = {one: Ordered() for one in Candidate}
        self._needing: dict[Need, Ordered[str]] = {need: Ordered() for need in Need}
        self._waiting: Ordered[tuple[float, str]] = Ordered()
        """Nodes with a pod that becomes available by waiting alone, by when it became Ready."""
        self._age_of: AgeOf = _ageless
        self._age_s = 0.0
        self._leaving: Collection[PodKey] = ()

    # --- changes of pods and nodes ---

    def put_node(self, name: str, node: Node | None) -> None:
        """A node was added or changed; None: it was deleted."""
        site = self._site(name)
        site.exists = node is not None
        site.decision = NEVER if node is None else self.template.rule.decide(node)

    def put_pod(self, key: PodKey, pod: Pod | None) -> None:
        """A pod that may be of this DaemonSet was added or changed; None: it was deleted."""
        old = self.pods.get(key)
        if old is not None and pod is not None and self._replaced(key, old, pod):
            return
        self._take_out(key)
        if pod is None:
            return
        claimed = standing(self._owner, self.template.selector, pod)
        if claimed is Standing.RELEASED:
            self.release[key] = pod
        elif claimed is not Standing.FOREIGN:
            if claimed is Standing.ADOPTED:
                self.adopt[key] = pod
            self._put_in(key, pod)

    def _replaced(self, key: PodKey, old: Pod, pod: Pod) -> bool:
        """Replace a pod by its new state, if it certainly stays the only pod of its node; else
        False."""
        before, after = old.metadata, pod.metadata
        site = self._sites.get(target_node_name(pod))
        if (
            before.deletion_timestamp is not None
            or after.deletion_timestamp is not None
            or site is None
            or not site.exists
            or len(site.pods) != 1
            or site.pods[0] is not old
            or before.labels != after.labels
            or before.owner_references != after.owner_references
            or key in self.adopt
        ):
            return False
        self.pods[key] = site.pods[0] = pod
        if not sites.alike(old, pod):
            self._stale.add(site.name)
        return True

    def _put_in(self, key: PodKey, pod: Pod) -> None:
        self.pods[key] = pod
        name = target_node_name(pod)
        if not name:
            return
        self.hashes[pod.metadata.labels.get(HASH_LABEL, "")] += 1
        if not _is_over(pod):
            site = self._site(name)
            site.pods.append(pod)
            if len(site.pods) > 1:
                site.pods.sort(key=sites.order)

    def _take_out(self, key: PodKey) -> None:
        self.adopt.pop(key, None)
        self.release.pop(key, None)
        old = self.pods.pop(key, None)
        name = "" if old is None else target_node_name(old)
        if old is None or not name:
            return
        hash_ = old.metadata.labels.get(HASH_LABEL, "")
        self.hashes[hash_] -= 1
        if not self.hashes[hash_]:
            del self.hashes[hash_]
        if not _is_over(old):
            site = self._site(name)
            site.pods = [pod for pod in site.pods if pod is not old]

    def _site(self, name: str) -> Site:
        """The site of a node, which is going to be changed, and so has to be judged anew."""
        self._stale.add(name)
        site = self._sites.get(name)
        if site is None:
            site = self._sites[name] = Site(name)
            self._numbers[site.numbers] += 1
            self._rolling[site.rolling] += 1
        return site

    # --- judging ---

    def refresh(self, terms: Terms, age_s: AgeOf) -> None:
        """Judge those nodes anew whose pods, node or time have changed since the last time."""
        age = age_s(_LONG_AGO)
        set_back = terms.min_ready_s > 0 and age < self._age_s
        if terms != self.terms or set_back:
            self._stale.update(self._sites)
            self._judged.clear()
        self.terms, self._age_of, self._age_s = terms, age_s, age
        for name in self._stale:
            self._judge(self._sites[name], age_s)
        self._stale.clear()
        self._judge_waiting(age_s)

    def _judge(self, site: Site, age_s: AgeOf) -> None:
        facts = sites.facts(site, self.terms)
        judgement = None if facts is None else self._judged.get(facts)
        if judgement is None:
            judgement = sites.judge(site, self.terms, age_s)
            if facts is not None:
                self._judged[facts] = judgement
        self._set_numbers(site, judgement.numbers)
        self._set_rolling(site, judgement.rolling)
        self._set_need(site, judgement.need)
        if self.terms.min_ready_s > 0 or site.ready_since_s:
            self._set_ready_since(site, sites.ready_since_s(site, self.terms, age_s))
        if site.empty:
            self._numbers[site.numbers] -= 1
            self._rolling[site.rolling] -= 1
            del self._sites[site.name]

    def _judge_waiting(self, age_s: AgeOf) -> None:
        """Judge the nodes on which a pod has become available by waiting. Pods that have been Ready
        for the longest time come first."""
        while self._waiting:
            since_s, name = next(iter(self._waiting))
            site = self._sites[name]
            self._judge(site, age_s)
            if site.ready_since_s == since_s:
                return

    def _set_numbers(self, site: Site, numbers: sites.Numbers) -> None:
        if numbers != site.numbers:
            self._numbers[site.numbers] -= 1
            self._numbers[numbers] += 1
            site.numbers = self._shared_numbers.setdefault(numbers, numbers)

    def _set_rolling(self, site: Site, rolling: Rolling) -> None:
        if rolling == site.rolling:
            return
        before, after = site.rolling.candidate, rolling.candidate
        if before is not after:
            if before is not Candidate.NONE:
                self._candidates[before].remove(site.name)
            if after is not Candidate.NONE:
                self._candidates[after].add(site.name)
        self._rolling[site.rolling] -= 1
        self._rolling[rolling] += 1
        site.rolling = self._shared_rolling.setdefault(rolling, rolling)

    def _set_need(self, site: Site, need: Need) -> None:
        if need is site.need:
            return
        if site.need is not Need.NONE:
            self._needing[site.need].remove(site.name)
        if need is not Need.NONE:
            self._needing[need].add(site.name)
        site.need = need

    def _set_ready_since(self, site: Site, since_s: float) -> None:
        if since_s == site.ready_since_s:
            return
        if site.ready_since_s:
            self._waiting.remove((site.ready_since_s, site.name))
        if since_s:
            self._waiting.add((since_s, site.name))
        site.ready_since_s = since_s

    # --- the judgements of all nodes, as of the last `refresh` ---

    def site(self, name: str) -> Site:
        """A node by its name: one that exists, or that has a pod."""
        return self._sites[name]

    def needing(self, need: Need) -> Ordered[str]:
        """The names of the nodes where this has to be done; not for NONE."""
        return self._needing[need]

    def candidates(self, *which: Candidate) -> Iterator[str]:
        """The names of the nodes that are candidates of these kinds, in order; not for NONE."""
        return merge(*(self._candidates[one] for one in which))

    def numbers(self) -> StatusNumbers:
        """The counters of the status."""
        totals = [0] * len(sites.Numbers._fields)
        for numbers, count in self._numbers.items():
            for index, one in enumerate(numbers):
                totals[index] += count * one
        return StatusNumbers(**dict(zip(sites.Numbers._fields, totals, strict=True)))

    def how_many(self, wanted: Callable[[Rolling], bool]) -> int:
        """The number of nodes of which this is true."""
        return sum(count for rolling, count in self._rolling.items() if wanted(rolling))

    def every_node(self) -> Iterator[NodePods]:
        """The pods of each node. This takes long: only for what cannot be counted otherwise."""
        return map(self.node_pods, self._sites)

    def node_pods(self, name: str) -> NodePods:
        """The pods of a node."""
        return sites.node_pods(self._sites[name], self.terms, self._age_of, self._leaving)

    def next_available_s(self) -> float | None:
        """Nominal seconds until the next pod becomes available by waiting; None without one."""
        for _, name in self._waiting:
            site, min_ready_s = self._sites[name], self.terms.min_ready_s
            waiting = sites.waiting_pods(site, self.terms, self._age_of)
            lefts_s = (until_available_s(pod, min_ready_s, self._age_of) for pod in waiting)
            return min((left_s for left_s in lefts_s if left_s), default=None)
        return None

    @contextmanager
    def after(self, creates: Iterable[str], deletes: Iterable[Pod]) -> Iterator[None]:
        """Within the block a rolling update finds what there will be after the rest of the plan:
        `deletes` are terminating, and pods are on their way to the nodes `creates`. A node to which
        one is on its way counts as empty, because there is nothing to update on it.
        """
        there = [pod for name in creates for pod in self._sites[name].pods]
        leaving = {key_of(pod): pod for pod in (*there, *deletes)}
        names = sorted({target_node_name(pod) for pod in leaving.values()})
        before = [(self._sites[name], self._sites[name].rolling) for name in names]
        self._leaving = leaving.keys()
        try:
            for site, _ in before:
                found = sites.rolling(site, self.terms, self._age_of, self._leaving)
                self._set_rolling(site, found)
            yield
        finally:
            self._leaving = ()
            for site, rolling in before:
                self._set_rolling(site, rolling)


def _is_over(pod: Pod) -> bool:
    """Whether a pod counts as none: it has ended and is terminating (5.1)."""
    return is_terminating(pod) and is_terminal(pod)


def _ageless(_timestamp: str) -> float:
    return 0.0
