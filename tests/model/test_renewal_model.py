"""The short ways of a Lease's renewal against the general way of an update: whatever is sent, the
same answer, the same stored bytes, the same revision, the same counts."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any

import msgspec
import orjson
import pytest
from apicluster import (
    ADMIN,
    MANAGER,
    MERGE,
    NODE,
    Cluster,
    StillClock,
    answered,
    api_cluster,
    kept,
    request_counts,
    without,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.kinds import LEASES
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse, User
from kubeherd.cluster.apiserver.handlers.begun import settled

JSON = "application/json"
MSGPACK = "application/msgpack"
FLEET = authenticated("fleet-1", ["kubeherd:fleet-agents"])
USERS = {"admin": ADMIN, "kubelet": NODE, "fleet": FLEET, "manager": MANAGER}
PLACES = [("kube-node-lease", "n1"), ("kube-node-lease", "n2"), ("default", "n1")]
START = datetime(2026, 1, 1, tzinfo=UTC)

TIMES: list[Any] = [
    "SAME", "2026-01-01T00:00:01Z", "2026-01-01T00:00:01.5Z",
    "2026-13-01T00:00:01.000000Z", "2026-02-30T00:00:01.000000Z", "2026-01-01T24:00:00.000000Z",
    "2026-01-01T00:00:60.000000Z", "0000-01-01T00:00:00.000000Z", "0001-01-01T00:00:00.000000Z",
    "2026-01-01T02:00:01.000000+02:00", "2026-01-01t00:00:01.000000z", "", None, 5,
]  # fmt: skip
CHANGES = {
    "nothing": lambda tree: None,
    "holder": lambda tree: tree["spec"].update(holderIdentity="other"),
    "duration": lambda tree: tree["spec"].update(leaseDurationSeconds=50),
    "bad duration": lambda tree: tree["spec"].update(leaseDurationSeconds=0),
    "float": lambda tree: tree["spec"].update(leaseDurationSeconds=40.0),
    "true": lambda tree: tree["spec"].update(leaseDurationSeconds=True),
    "transitions": lambda tree: tree["spec"].update(leaseTransitions=1),
    "preferred": lambda tree: tree["spec"].update(preferredHolder="n1"),
    "unknown": lambda tree: tree["spec"].update(unknown=1),
    "null": lambda tree: tree["spec"].update(acquireTime=None),
    "no spec": lambda tree: tree.pop("spec"),
    "label": lambda tree: tree["metadata"].setdefault("labels", {}).update(a="b"),
    "tricky": lambda tree: (
        tree["metadata"]
        .setdefault("annotations", {})
        .update(renewTime="2026-01-01T00:00:00.000000Z", quoted='"renewTime":"2026')
    ),
    "strange holder": lambda tree: tree["spec"].update(holderIdentity='{"renewTime":"'),
    "strange end": lambda tree: tree["spec"].update(preferredHolder='a"}},"spec":{'),
    "names of members": lambda tree: (
        tree["metadata"]
        .setdefault("annotations", {})
        .update(resourceVersion="1", spec="2", managedFields="3", deletionTimestamp="4")
    ),
    "bad label": lambda tree: tree["metadata"].setdefault("labels", {}).update({"a": "-"}),
    "stale": lambda tree: tree["metadata"].update(resourceVersion="1"),
    "stale, other times": lambda tree: (
        tree["metadata"].update(resourceVersion="1"),
        [
            one.update(time="2025-01-01T00:00:00Z")
            for one in tree["metadata"].get("managedFields", ())
        ],
    ),
    "stale, no time": lambda tree: (
        tree["metadata"].update(resourceVersion="1"),
        [
            one.update(time="2025-13-01T00:00:00Z")
            for one in tree["metadata"].get("managedFields", ())
        ],
    ),
    "stale, no renewTime": lambda tree: (
        tree["metadata"].update(resourceVersion="1"),
        tree["spec"].update(renewTime="2025-13-01T00:00:00.000000Z"),
    ),
    "stale, other label": lambda tree: (
        tree["metadata"].update(resourceVersion="1", labels={"a": "-"}),
    ),
    "stale, empty renewTime": lambda tree: (
        tree["metadata"].update(resourceVersion="1"),
        tree["spec"].update(renewTime=""),
    ),
    "empty version": lambda tree: tree["metadata"].update(resourceVersion=""),
    "zero": lambda tree: tree["metadata"].update(resourceVersion="0"),
    "zeros": lambda tree: tree["metadata"].update(resourceVersion="00000000000000000001"),
    "largest": lambda tree: tree["metadata"].update(resourceVersion="9999999999999999999"),
    "too large": lambda tree: tree["metadata"].update(resourceVersion="99999999999999999999"),
    "a date": lambda tree: tree["metadata"].update(resourceVersion="2025-01-01T00:00:00Z"),
    "no version": lambda tree: tree["metadata"].pop("resourceVersion", None),
    "uid": lambda tree: tree["metadata"].update(uid="11111111-2222-3333-4444-555555555555"),
    "no owners": lambda tree: tree["metadata"].pop("managedFields", None),
    "reset owners": lambda tree: tree["metadata"].update(managedFields=[{}]),
    "finalizer": lambda tree: tree["metadata"].update(finalizers=["a.b/c"]),
    "name": lambda tree: tree["metadata"].update(name="other"),
    "namespace": lambda tree: tree["metadata"].pop("namespace", None),
    "kind": lambda tree: tree.update(kind="Leases"),
    "no kind": lambda tree: tree.pop("kind"),
    "order": lambda tree: tree.update(spec=dict(reversed(tree["spec"].items()))),
    "order of members": lambda tree: tree.update(metadata=dict(reversed(tree["metadata"].items()))),
}
ODD: dict[str, list[Any]] = {
    "time": TIMES,
    "change": sorted(CHANGES),
    "query": ["dryRun=All", "fieldManager=m", "fieldValidation=Strict", "pretty=true", "dryRun=x"],
    "media": ["application/json; charset=utf-8", "text/x", "application/yaml"],
    "accept": ["application/yaml", "text/html", "application/json;as=Table;v=v1;g=meta.k8s.io"],
    "spelling": ["spaced", "repeated", "broken", "line"],
    "then": ["delete"],
}
"""What is odd about a request, by the part of it that is. Else it is a plain renewal."""
ODDITIES = [(part, value) for part, values in ODD.items() for value in values]
STEPS = st.fixed_dictionaries({
    "place": st.sampled_from(PLACES),
    "user": st.sampled_from(sorted(USERS)),
    "agent": st.sampled_from(["stub/1", "kubelet/v1.36", ""]),
    "media": st.sampled_from([JSON, JSON, MSGPACK]),
    "accept": st.sampled_from(["", JSON, MSGPACK]),
    "passes_s": st.sampled_from([0, 1, 61]),
    "odd": st.one_of(st.just(None), st.sampled_from(ODDITIES)),
})  # fmt: skip


class Way(Enum):
    """How a renewal goes its short way."""

    HANDLED = auto()
    """As every request: in a task."""
    BEGUN = auto()
    """In two steps, if it can."""


async def _request(
    cluster: Cluster, method: str, path: str, body: bytes, user: User, **headers: str
) -> ApiResponse:
    answer = await cluster.api.handle(_asked(method, path, body, user, **headers))
    assert isinstance(answer, ApiResponse)
    return answer


def _asked(method: str, path: str, body: bytes, user: User, **headers: str) -> ApiRequest:
    path, _, query = path.partition("?")
    asked = dict(part.split("=", 1) for part in query.split("&") if part)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return ApiRequest(method, path, asked, sent, body, user)


def _body(step: dict[str, Any], stored: bytes, micros: int) -> bytes:
    """What the client sends who was last given the object `stored`."""
    tree = orjson.loads(stored)
    time = step.get("time", f"2026-01-01T00:00:00.{micros:06}Z")
    if time != "SAME":
        tree["spec"]["renewTime"] = time
    CHANGES[step.get("change", "nothing")](tree)
    if step["media"] == MSGPACK:
        return msgspec.msgpack.encode(tree)
    spelling = step.get("spelling")
    body = json.dumps(tree, separators=(", ", ": ") if spelling == "spaced" else (",", ":"))
    if spelling == "repeated":
        body = body.replace('"holderIdentity"', '"holderIdentity":"x","holderIdentity"')
    if spelling == "line":
        body += "\n"
    return body.encode()[: -1 if spelling == "broken" else None]


async def _create(cluster: Cluster, namespace: str, name: str) -> None:
    tree = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": 40,
            "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    }
    made = await _request(
        cluster, "POST", LEASES.path(namespace), orjson.dumps(tree), ADMIN, content_type=JSON
    )
    assert made.status == 201


async def _put(cluster: Cluster, step: dict[str, Any], body: bytes, way: Way) -> ApiResponse:
    request = _asked(
        "PUT",
        f"{LEASES.path(*step['place'])}?{step.get('query', '')}",
        body,
        USERS[step["user"]],
        content_type=step["media"],
        accept=step["accept"],
        user_agent=step["agent"],
    )
    return await answered(cluster, request, begins=way is Way.BEGUN)


async def _same(steps: list[dict[str, Any]], way: Way) -> None:
    clock = StillClock()
    async with api_cluster(clock=clock) as short, api_cluster(clock=clock) as general:
        without(general, "renewal")
        for number, step in enumerate(steps, 1):
            clock.moment += timedelta(seconds=step["passes_s"])
            namespace, name = step["place"]
            record = short.store.get(LEASES.group_resource, namespace, name)
            if record is None:
                for cluster in (short, general):
                    await _create(cluster, namespace, name)
                continue
            if step["odd"] is not None:
                step |= dict([step["odd"]])
            body = _body(step, record.json, number)
            answer = await _put(short, step, body, way)
            assert answer == await _put(general, step, body, Way.HANDLED)
            leases = LEASES.group_resource
            assert kept(short, leases) == kept(general, leases)
            if "then" in step:
                assert await _renewed_while_deleted(short, *step["place"]) == (
                    await _renewed_while_deleted(general, *step["place"])
                )
        assert await request_counts(short) == await request_counts(general)


async def _renewed_while_deleted(cluster: Cluster, namespace: str, name: str) -> ApiResponse | None:
    """Delete a Lease; the answer to a renewal meanwhile, if something keeps it."""
    path = LEASES.path(namespace, name)
    await _request(cluster, "DELETE", path, b"", ADMIN)
    record = cluster.store.get(LEASES.group_resource, namespace, name)
    if record is None:
        return None
    body = record.json.replace(b'"renewTime":"2026', b'"renewTime":"2027')
    answer = await _request(cluster, "PUT", path, body, ADMIN)
    free = b'{"metadata":{"finalizers":null}}'
    await _request(cluster, "PATCH", path, free, ADMIN, content_type=MERGE)
    return answer


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEPS, min_size=10, max_size=40), way=st.sampled_from(Way))
def test_a_renewal_is_what_an_update_is(steps: list[dict[str, Any]], way: Way) -> None:
    asyncio.run(_same(steps, way))


@pytest.mark.parametrize("step", [
    {"media": JSON},
    {"media": JSON, "spelling": "spaced"},
    {"media": JSON, "spelling": "line"},
    {"media": JSON, "change": "order of members"},
    {"media": MSGPACK},
])  # fmt: skip
@pytest.mark.parametrize("end", [{}, {"leaseTransitions": 1, "preferredHolder": "n2"}])
async def test_what_is_certainly_a_renewal_begins_at_once(
    step: dict[str, Any], end: dict[str, Any]
) -> None:
    place = PLACES[0]
    async with api_cluster() as cluster:
        await _create(cluster, *place)
        patch = orjson.dumps({"spec": end})
        await _request(cluster, "PATCH", LEASES.path(*place), patch, MANAGER, content_type=MERGE)
        for count, user in enumerate((ADMIN, NODE, FLEET, ADMIN)):
            record = cluster.store.get(LEASES.group_resource, *place)
            assert record is not None
            body = _body(step, record.json, count + 1)
            begun = cluster.api.begin(
                _asked("PUT", LEASES.path(*place), body, user, content_type=step["media"])
            )
            assert begun is not None
            await settled(cluster.store, [begun])
            assert begun.answer().status == 200


@pytest.mark.parametrize("media", [JSON, MSGPACK])
@pytest.mark.parametrize("change", ["stale", "stale, other times"])
async def test_what_is_certainly_late_is_refused_at_once(media: str, change: str) -> None:
    place = PLACES[0]
    async with api_cluster() as cluster:
        await _create(cluster, *place)
        record = cluster.store.get(LEASES.group_resource, *place)
        assert record is not None
        body = _body({"media": media, "change": change}, record.json, 1)
        for user in (ADMIN, NODE, FLEET):
            asked = _asked("PUT", LEASES.path(*place), body, user, content_type=media)
            begun = cluster.api.begin(asked)
            assert begun is not None
            await settled(cluster.store, [begun])
            assert begun.answer().status == 409


@pytest.mark.parametrize("way", Way)
def test_whatever_is_odd_about_one(way: Way) -> None:
    steps: list[dict[str, Any]] = []
    for user in sorted(USERS):
        for media in (JSON, MSGPACK):
            plain: dict[str, Any] = {
                "place": PLACES[0], "user": user, "agent": "stub/1", "media": media,
                "accept": "", "passes_s": 1, "odd": None,
            }  # fmt: skip
            for odd in ODDITIES:
                gone = {**plain, "odd": ("then", "delete")}
                steps += [{**plain}, {**plain}, {**plain, "odd": odd}, {**plain}, gone]
    asyncio.run(_same(steps, way))
