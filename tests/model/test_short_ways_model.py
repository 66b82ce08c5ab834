"""All short ways of a write together against the general one, while others come who have a say in
writes, and go again: policies, webhooks, quotas, limits, roles, a namespace that ends."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest
from apicluster import (
    ADMIN,
    BOB,
    MANAGER,
    MERGE,
    NODE,
    STRATEGIC,
    Cluster,
    StillClock,
    Taken,
    answered,
    api_cluster,
    kept,
    request_counts,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.private import fence
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.admission.webhooks.matching import Hook
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.apiserver.write.short.alike.creates import AlikeCreates

JSON = "application/json"
NS = "/api/v1/namespaces/work"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
NODES = "kube-node-lease"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io"
BINDINGS = f"/apis/{RBAC}/v1/clusterrolebindings"
SCHEDULER = authenticated("system:kube-scheduler")
FLEET = authenticated("fleet-1", ["kubeherd:fleet-agents"])
USERS = {
    "admin": ADMIN, "bob": BOB, "fleet": FLEET, "kubelet": NODE, "manager": MANAGER,
    "scheduler": SCHEDULER,
}  # fmt: skip
STORED = ("pods", "events", "configmaps", "leases.coordination.k8s.io", "resourcequotas")
WAYS = ("renewal", "pod_status", "binding", "parts_to_delete")

_Request = tuple[str, str, Any]
"""A method, a path and a body."""


# --- the writes that have a short way, each of the object of a number ---


def _create(number: int) -> _Request:
    spec = {"containers": [{"name": "c", "image": "i:1"}]}
    meta = {"name": f"p{number}", "labels": {"app": "a"}}
    return "POST", f"{NS}/pods", _object("v1", "Pod", meta) | {"spec": spec}


def _bind(number: int) -> _Request:
    meta, target = {"name": f"p{number}"}, {"kind": "Node", "name": f"n{number % 2}"}
    tree = _object("v1", "Binding", meta) | {"target": target}
    return "POST", f"{NS}/pods/p{number}/binding", tree


def _status(number: int) -> _Request:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"phase": "Running", "podIP": f"10.0.0.{number % 256}", "conditions": [ready]}
    return "PATCH", f"{NS}/pods/p{number}/status", {"status": status}


def _delete(number: int) -> _Request:
    return "DELETE", f"{NS}/pods/p{number}", None


def _event(number: int) -> _Request:
    about = {"kind": "Pod", "namespace": "work", "name": f"p{number}"}
    meta = {"name": f"e{number}", "namespace": "work"}
    more = {"involvedObject": about, "reason": "Made", "message": f"p{number}", "type": "Normal"}
    return "POST", f"{NS}/events", _object("v1", "Event", meta) | more


def _config_map(number: int) -> _Request:
    return "POST", f"{NS}/configmaps", _object("v1", "ConfigMap", {"name": f"c{number}"})


def _renew(number: int) -> _Request:
    spec = {"holderIdentity": "me", "renewTime": f"2026-01-01T00:00:00.{number:06}Z"}
    return "PUT", f"{LEASES.format('work')}/l", {"spec": spec}


def _heartbeat(number: int) -> _Request:
    """The kubelet of n1 may renew its own Lease, and not that of n0."""
    spec = {"renewTime": f"2026-01-01T00:00:00.{number:06}Z"}
    return "PUT", f"{LEASES.format(NODES)}/n{number % 2}", {"spec": spec}


def _object(api_version: str, kind: str, meta: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


WRITES = {
    "create": (_create, "manager"),
    "bind": (_bind, "scheduler"),
    "status": (_status, "fleet"),
    "event": (_event, "manager"),
    "config map": (_config_map, "admin"),
    "renew": (_renew, "manager"),
    "heartbeat": (_heartbeat, "kubelet"),
    "delete": (_delete, "manager"),
}
"""And who sends them."""
TERMS = {"held": "work/leader/me/0", "lost": "work/leader/another/0"}
"""Of leaders who send them."""


# --- who comes and goes ---

_RULE = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"]}
_WRITTEN = ["pods", "pods/status", "pods/binding", "events", "configmaps", "leases"]


def _validating(expression: str, action: str) -> list[_Request]:
    constraints = {"resourceRules": [{**_RULE, "resources": _WRITTEN}]}
    spec = {"matchConstraints": constraints, "validations": [{"expression": expression}]}
    bound = {"policyName": "v", "validationActions": [action]}
    return [
        ("POST", f"{ADMISSION}/validatingadmissionpolicies", _named("v", spec=spec)),
        ("POST", f"{ADMISSION}/validatingadmissionpolicybindings", _named("v", spec=bound)),
    ]


_NO_VALIDATING: list[_Request] = [
    ("DELETE", f"{ADMISSION}/validatingadmissionpolicybindings/v", None),
    ("DELETE", f"{ADMISSION}/validatingadmissionpolicies/v", None),
]
_MUTATION = 'Object{metadata: Object.metadata{annotations: {"policy": "was here"}}}'


def _mutating() -> list[_Request]:
    rules = [{**_RULE, "operations": ["CREATE", "UPDATE"], "resources": _WRITTEN}]
    spec = {
        "matchConstraints": {"resourceRules": rules},
        "mutations": [{
            "patchType": "ApplyConfiguration", "applyConfiguration": {"expression": _MUTATION},
        }],
        "reinvocationPolicy": "Never",
    }  # fmt: skip
    return [
        ("POST", f"{ADMISSION}/mutatingadmissionpolicies", _named("m", spec=spec)),
        ("POST", f"{ADMISSION}/mutatingadmissionpolicybindings",
         _named("m", spec={"policyName": "m"})),
    ]  # fmt: skip


def _webhook(kind: str) -> list[_Request]:
    hook = {
        "name": f"{kind}.example.com", "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [{**_RULE, "resources": _WRITTEN}], "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }  # fmt: skip
    return [("POST", f"{ADMISSION}/{kind}webhookconfigurations", _named("w", webhooks=[hook]))]


def _no_webhook(kind: str) -> list[_Request]:
    return [("DELETE", f"{ADMISSION}/{kind}webhookconfigurations/w", None)]


def _named(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **more}


def _labelled(labels: Any) -> list[_Request]:
    return [("PATCH", NS, {"metadata": {"labels": labels}})]


_LIMITS = [{"type": "Container", "default": {"cpu": "1"}}]
_SUBJECTS = [{"apiGroup": RBAC, "kind": "User", "name": "bob"}]
_ROLE = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
_ZONE = {"topology.kubernetes.io/zone": "z"}
HAPPENINGS: dict[str, tuple[list[_Request], list[_Request]]] = {
    "a policy refuses": (_validating("false", "Deny"), _NO_VALIDATING),
    "a policy refuses some": (
        _validating("request.operation != 'UPDATE' && request.operation != 'DELETE'", "Deny"),
        _NO_VALIDATING,
    ),
    "a policy warns": (_validating("false", "Warn"), _NO_VALIDATING),
    "a policy changes": (
        _mutating(),
        [
            ("DELETE", f"{ADMISSION}/mutatingadmissionpolicybindings/m", None),
            ("DELETE", f"{ADMISSION}/mutatingadmissionpolicies/m", None),
        ],
    ),
    "a webhook refuses": (_webhook("validating"), _no_webhook("validating")),
    "a webhook warns": (_webhook("mutating"), _no_webhook("mutating")),
    "a quota": (
        [("POST", f"{NS}/resourcequotas", _named("q", spec={"hard": {"pods": "3"}}))],
        [("DELETE", f"{NS}/resourcequotas/q", None)],
    ),
    "limits": (
        [("POST", f"{NS}/limitranges", _named("l", spec={"limits": _LIMITS}))],
        [("DELETE", f"{NS}/limitranges/l", None)],
    ),
    "pod security": (
        _labelled({"pod-security.kubernetes.io/enforce": "restricted"}), _labelled(None),
    ),
    "a zone": (
        [("POST", "/api/v1/nodes", _named("n1") | {"metadata": {"name": "n1", "labels": _ZONE}})],
        [("DELETE", "/api/v1/nodes/n1", None)],
    ),
    "no account": (
        [("DELETE", f"{NS}/serviceaccounts/default", None)],
        [("POST", f"{NS}/serviceaccounts", _named("default"))],
    ),
    "a role": (
        [("POST", BINDINGS, _named("bob", roleRef=_ROLE, subjects=_SUBJECTS))],
        [("DELETE", f"{BINDINGS}/bob", None)],
    ),
}  # fmt: skip
THE_END: list[_Request] = [("DELETE", NS, None)]
"""Of the namespace: for good."""


# --- two clusters ---


class _General(AlikeCreates):
    """Knows no short way."""

    def is_worth_a_look(self, *_: object) -> bool:
        return False


async def _reply(hook: Hook, body: bytes) -> bytes:
    """What the webhooks answer: one refuses, the other warns."""
    review = json.loads(body)
    uid, refuses = review["request"]["uid"], hook.name.startswith("validating")
    said = {"status": {"message": "no"}} if refuses else {"warnings": ["take care"]}
    return json.dumps({**review, "response": {"uid": uid, "allowed": not refuses} | said}).encode()


class _Both:
    """The same cluster twice: one that takes the short ways, and one that knows none."""

    def __init__(self, short: Cluster, general: Cluster, clock: StillClock, *, begins: bool):
        """`begins`: writes go in single steps where they can."""
        self._clusters = (short, general)
        self._clock = clock
        self._begins = begins
        self.taken = [Taken(short, way) for way in WAYS]
        for cluster in self._clusters:
            cluster.api.services.registry.webhooks.post = _reply
        for way in WAYS:
            setattr(general.api.services.registry.short, way, lambda *_: None)
        general.api.services.alike.__class__ = _General

    async def prepare(self) -> None:
        beat = {"renewTime": "2026-01-01T00:00:00.000000Z"}
        await self.happens([
            ("POST", "/api/v1/namespaces", _named("work")),
            ("POST", f"{NS}/serviceaccounts", _named("default")),
            ("POST", LEASES.format("work"), _named("leader", spec={"holderIdentity": "me"})),
            ("POST", LEASES.format("work"), _named("l", spec=beat)),
            *(("POST", LEASES.format(NODES), _named(name, spec=beat)) for name in ("n0", "n1")),
        ])  # fmt: skip
        self.passes(60)  # nobody waits any more for the account of a new namespace

    def passes(self, seconds: int) -> None:
        self._clock.moment += timedelta(seconds=seconds)

    async def happens(self, requests: Sequence[_Request]) -> None:
        """An administrator does something, which both take alike."""
        for method, path, body in requests:
            media = MERGE if method == "PATCH" else JSON
            one, other = [
                await cluster.call(method, path, body, content_type=media)
                for cluster in self._clusters
            ]
            assert one == other

    async def write(self, name: str, number: int, user: str = "", term: str = "") -> None:
        """A write of one's own kind, or of another `user`; `term`: for whose term as a leader."""
        make, own = WRITES[name]
        one, other = [
            await self._send(cluster, make(number), user or own, term) for cluster in self._clusters
        ]
        assert one == other, (name, number)

    async def _send(self, cluster: Cluster, request: _Request, user: str, term: str) -> ApiResponse:
        method, path, body = request
        media = STRATEGIC if method == "PATCH" else JSON
        if method == "PUT":  # as it was given to its owner
            namespace, _, name = path.split("/")[-3:]
            record = cluster.store.get("leases.coordination.k8s.io", namespace, name)
            body = {} if record is None else {**record.load(), **body}
        sent = b"" if body is None else orjson.dumps(body)
        headers = {"content-type": media, "user-agent": "made/1"}
        headers |= {fence.KEY: TERMS[term]} if term else {}
        whole = ApiRequest(method, path, {}, headers, sent, USERS[user])
        begins = self._begins and cluster is self._clusters[0]
        return await answered(cluster, whole, begins=begins)

    async def compare(self) -> None:
        short, general = self._clusters
        assert kept(short, *STORED) == kept(general, *STORED)
        assert [(one.type, one.record.json) for one in short.store.events_after(0)] == [
            (one.type, one.record.json) for one in general.store.events_after(0)
        ]
        assert await request_counts(short) == await request_counts(general)

    @property
    def made_alike(self) -> int:
        return sum(
            template.used
            for templates in self._clusters[0].api.services.alike._templates.values()
            for template in templates
        )


async def _round(both: _Both, first: int, user: str = "", term: str = "") -> None:
    """All kinds of writes of some objects."""
    for name in WRITES:
        for number in range(first, first + 4):
            await both.write(name, number, user, term)


async def _all_at_once(happening: str, *, begins: bool) -> None:
    clock = StillClock()
    async with api_cluster(clock=clock) as short, api_cluster(clock=clock) as general:
        both = _Both(short, general, clock, begins=begins)
        await both.prepare()
        await _round(both, 0)
        assert all(taken.times for taken in both.taken)
        assert both.made_alike == 3
        comes, goes = HAPPENINGS[happening]
        for number in range(10, 14):  # what is written later was there before
            await both.write("create", number)
            await both.write("bind", number)
        await both.happens(comes)
        for number in range(10, 12):
            await both.write("status", number)
            await both.write("delete", number)
        await _round(both, 20)
        await both.happens(goes)
        for number in range(12, 14):
            await both.write("status", number)
        await _round(both, 30)
        await both.compare()
        for at, term in enumerate(TERMS):
            await _round(both, 40 + 4 * at, term=term)
        await _round(both, 60, "admin")
        await both.happens(THE_END)
        await _round(both, 50)
        await both.compare()
        for cluster in (short, general):
            cluster.api.stop()
        await _round(both, 70)


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("happening", HAPPENINGS)
def test_whoever_has_a_say_has_it(happening: str, begins: bool) -> None:
    asyncio.run(_all_at_once(happening, begins=begins))


STEPS = st.one_of(
    st.tuples(
        st.sampled_from(sorted(WRITES)),
        st.integers(0, 5),
        st.sampled_from(["", "", "bob", "kubelet"]),
        st.sampled_from(["", "", *TERMS]),
    ),
    st.sampled_from(sorted(HAPPENINGS)),
)


async def _whatever(steps: list[Any], *, begins: bool) -> None:
    clock, there = StillClock(), set[str]()
    async with api_cluster(clock=clock) as short, api_cluster(clock=clock) as general:
        both = _Both(short, general, clock, begins=begins)
        await both.prepare()
        for step in steps:
            both.passes(1)
            if isinstance(step, str):
                await both.happens(HAPPENINGS[step][step in there])
                there ^= {step}
            else:
                await both.write(*step)
        await both.compare()


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEPS, min_size=10, max_size=60), begins=st.booleans())
def test_whatever_happens_in_between(steps: list[Any], begins: bool) -> None:
    asyncio.run(_whatever(steps, begins=begins))
