"""Patches of statuses that are alike against the general way of a patch: whatever differs between
those that were sent, the same answers, the same stored bytes, selectable fields and revisions."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Any

import orjson
import pytest
from apicluster import (
    ADMIN,
    APPLY,
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
    without,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedAnswer, BatchedRequest
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse

PODS = "/api/v1/namespaces/default/pods"
COUNT = 5
"""Of pods that are alike."""
SCHEDULER = authenticated("system:kube-scheduler")
FLEET = authenticated("fleet-1", ["kubeherd:fleet-agents"])
OTHER = authenticated("system:node:n2", ["system:nodes"])
USERS = {"admin": ADMIN, "fleet": FLEET, "kubelet": NODE, "manager": MANAGER}
USERS |= {"other kubelet": OTHER}

USUAL: dict[str, list[Any]] = {
    **{f"t{n}": [f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3)] for n in (1, 2, 3)},
    **{f"ip{n}": ["10.0.0.1", "10.0.0.2", "10.0.0.31"] for n in (1, 2, 3)},
    **{f"id{n}": ["a://1", "a://2", "b://UID/c"] for n in (1, 2)},
    "vol": ["kube-api-access-abcde", "kube-api-access-12345", "kube-api-access-bbbbb"],
    "uid": ["UID"],
}
"""What texts may be, by the places in which they differ; UID is the pod's own."""
ODD: dict[str, list[Any]] = {
    "t": [
        "2001-01-01T00:00:00Z", "2026-02-28T23:59:59Z", "2024-02-29T00:00:00Z",
        "2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-12-31T24:00:00Z",
        "2026-01-01T00:00:60Z", "2026-01-01T00:00:00.5Z", "2026-01-01T01:00:00+01:00",
        "0001-01-01T00:00:00Z", "2026-01-01", "10.0.0.1", "", None, 5, "2026-01-01T00:00:00Z\"",
    ],
    "ip": [
        "10.255.255.3", "0.0.0.0", "127.0.0.1", "256.0.0.1", "01.2.3.4", "fd00::1",
        "::ffff:1.2.3.4", "10.0.0.1 ", "2026-01-01T00:00:00Z", "", None, 5, "10.0.0.\u0661",
    ],
    "id": ["mark://3", "mark://7", "a://x y", "ä://1", 'a://"', "a://\\", "", None, "docker://null",
           "a://$patch", 5],
    "vol": ["kube-api-access-00003", "kube-api-access-x", "other", "", None, 5],
    "uid": ["other", "", None, "00000000-0000-0000-0000-000000000000", 5],
}  # fmt: skip
TYPES = ["PodScheduled", "Ready", "Initialized", "a.b/c"]
CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(TYPES), "status": st.just("True")},
        optional={
            "lastTransitionTime": st.sampled_from(["<t1>", "<t2>", "<t3>"]),
            "lastProbeTime": st.sampled_from([None, "<t1>"]),
            "reason": st.sampled_from([None, "Because"]),
            "$patch": st.just("delete"),
        },
    ),
    max_size=3,
    unique_by=lambda one: one["type"],
)
ENDED = {"exitCode": 1, "startedAt": "<t1>", "finishedAt": "<t2>", "containerID": "<id2>"}
STATES = st.sampled_from([{"running": {"startedAt": "<t2>"}}, {"terminated": ENDED}, {}])
CONTAINERS = st.fixed_dictionaries(
    {"name": st.just("c"), "state": STATES},
    optional={
        "containerID": st.just("<id1>"),
        "lastState": STATES,
        "imageID": st.just("a://1"),
        "volumeMounts": st.just([{"name": "<vol>", "mountPath": "/a"}]),
    },
)
IPS = st.sampled_from([
    [{"ip": "<ip1>"}], [{"ip": "<ip2>"}], [{"ip": "<ip1>"}, {"ip": "<ip2>"}], [], None,
    [{"ip": "<ip1>"}, {"$patch": "delete", "ip": "<ip2>"}], [{"ip": "<ip1>"}, {"ip": "fd00::1"}],
    [{"ip": "10.0.0.1"}, {"$patch": "delete", "ip": "<ip1>"}], [{"$patch": "replace"}],
])  # fmt: skip
STATUSES = st.fixed_dictionaries(
    {"conditions": CONDITIONS},
    optional={
        "phase": st.sampled_from(["Running", "Failed", None]),
        "message": st.sampled_from(["mark://1", "10.255.255.1", "<t1>", '"\\', "ä", "x", None]),
        "podIP": st.sampled_from(["<ip1>", "<ip2>", None]),
        "podIPs": IPS,
        "$setElementOrder/podIPs": st.sampled_from(
            [[{"ip": "<ip1>"}], [{"ip": "<ip2>"}, {"ip": "<ip1>"}]]
        ),
        "hostIP": st.sampled_from(["<ip3>", "<ip1>"]),
        "hostIPs": st.sampled_from([[{"ip": "<ip3>"}], [{"ip": "<ip1>"}]]),
        "startTime": st.sampled_from(["<t1>", "<t3>"]),
        "containerStatuses": st.lists(CONTAINERS, min_size=1, max_size=1),
        "qosClass": st.just("BestEffort"),
        "observedGeneration": st.sampled_from([0, 1]),
        "nominatedNodeName": st.sampled_from(["n1", ""]),
        "resourceClaimStatuses": st.just([{"name": "a", "resourceClaimName": "b"}]),
        "$setElementOrder/conditions": st.just([{"type": name} for name in TYPES]),
    },
)  # fmt: skip
METADATA = st.sampled_from([
    {"uid": "<uid>"}, {"uid": "<uid>"}, {"uid": "<uid>"}, {}, {"name": "p1"}, {"uid": "<ip1>"},
    {"uid": "<uid>", "resourceVersion": "<id1>"}, {"uid": "<uid>", "labels": {"a": "<ip1>"}},
])  # fmt: skip
SHAPES = st.fixed_dictionaries({"metadata": METADATA, "status": STATUSES})
VALUES = st.fixed_dictionaries({slot: st.sampled_from(usual) for slot, usual in USUAL.items()})
ODDITIES = st.sampled_from(sorted(USUAL)).flatmap(
    lambda slot: st.tuples(st.just(slot), st.sampled_from(ODD[slot.rstrip("123")]))
)
STEPS = st.fixed_dictionaries({
    "shape": st.sampled_from([0, 1]),
    "values": st.lists(VALUES, min_size=COUNT, max_size=COUNT),
    "odd": st.one_of(st.none(), st.none(), st.tuples(st.integers(0, COUNT - 1), ODDITIES)),
    "user": st.sampled_from(["admin", "admin", "fleet", "kubelet", "manager"]),
    "media": st.sampled_from([STRATEGIC, STRATEGIC, MERGE]),
    "spelling": st.sampled_from(["", "", "", "spaced", "repeated", "tabs"]),
    "happens": st.sampled_from(["", "", "", "owned", "ending"]),
})  # fmt: skip


class Way(Enum):
    """How a patch is sent."""

    ALONE = auto()
    BEGUN = auto()
    BATCHED = auto()


@dataclass(frozen=True)
class Act:
    """Something that is done to a pod: a patch of its status, or what `happens`."""

    pod: int
    text: str = ""
    """UID is the pod's own."""
    user: str = "fleet"
    media: str = STRATEGIC
    happens: str = ""


def _pod(number: int, policy: str) -> bytes:
    spec = {"containers": [{"name": "c", "image": "i:1"}], "restartPolicy": policy}
    meta = {"name": f"p{number}", "labels": {"a": "b"}, "finalizers": ["a.b/c"]}
    return orjson.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


async def _make(cluster: Cluster, policies: Sequence[str]) -> None:
    for number, policy in enumerate(policies):
        made = await cluster.post(PODS, _pod(number, policy), user=MANAGER)
        assert made.status == 201, made.raw
        target = {"metadata": {"name": f"p{number}"}, "target": {"name": "n1"}}
        bound = await cluster.post(f"{PODS}/p{number}/binding", target, user=SCHEDULER)
        assert bound.status == 201


async def _done(cluster: Cluster, act: Act, way: Way) -> ApiResponse | BatchedAnswer | None:
    path = f"{PODS}/p{act.pod}"
    if act.happens == "owned":
        label = {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"new": "label"}}}
        await cluster.patch(f"{path}?fieldManager=m", label, APPLY)
    elif act.happens == "ending":
        await cluster.delete(path)
    record = cluster.store.get("pods", "default", f"p{act.pod}")
    if record is None or act.happens:
        return None
    body = act.text.replace("UID", record.load()["metadata"]["uid"]).encode()
    headers = {"content-type": act.media, "user-agent": "kubelet/v1.36"}
    request = ApiRequest("PATCH", f"{path}/status", {}, headers, body, USERS[act.user])
    if way is not Way.BATCHED:
        return await answered(cluster, request, begins=way is Way.BEGUN)
    sent = batch.encode([BatchedRequest("PATCH", request.path, {}, act.media, "", body)])
    headers = {"content-type": "application/msgpack", "accept": "application/msgpack"}
    whole = ApiRequest("POST", batch.PATH, {}, headers, sent, request.user)
    answer = await cluster.api.handle(whole)
    assert isinstance(answer, ApiResponse)
    return batch.decode_answers(answer.body)[0]


async def _same(acts: Sequence[Act], way: Way, policies: Sequence[str]) -> int:
    """Do it both ways; how many patches were made out by one that was alike."""
    clock = StillClock()
    clock.moment = StillClock.moment
    async with api_cluster(clock=clock) as short, api_cluster(clock=clock) as general:
        without(general, "pod_status")
        taken = Taken(short, "_put_alike")
        for cluster in (short, general):
            await _make(cluster, policies)
        for act in acts:
            clock.moment += timedelta(seconds=1)
            assert await _done(short, act, way) == await _done(general, act, way)
            assert kept(short, "pods") == kept(general, "pods")
    return taken.times


def _text(shape: Any, values: Any, spelling: str = "") -> str:
    separators = {"spaced": (", ", ": "), "tabs": (",\t", "\t:\t")}.get(spelling, (",", ":"))
    text = json.dumps(shape, separators=separators)
    for slot, value in values.items():
        text = text.replace(f'"<{slot}>"', json.dumps(value, ensure_ascii=False))
    if spelling == "repeated":
        text = text.replace('"phase"', '"phase":"Pending","phase"')
    return text


def _acts(shapes: list[Any], step: dict[str, Any]) -> list[Act]:
    """A patch of each pod, after what happens."""
    acts = {"owned": [Act(1, happens="owned")], "ending": [Act(2, happens="ending")]}
    done = acts.get(step["happens"], [])
    for pod, usual in enumerate(step["values"]):
        odd = step["odd"] is not None and step["odd"][0] == pod
        values = usual | dict([step["odd"][1]]) if odd else usual
        text = _text(shapes[step["shape"]], values, step["spelling"])
        done.append(Act(pod, text, step["user"], step["media"]))
    return done


@settings(max_examples=40, deadline=None)
@given(
    shapes=st.lists(SHAPES, min_size=2, max_size=2),
    steps=st.lists(STEPS, min_size=1, max_size=6),
    way=st.sampled_from(Way),
    policy=st.sampled_from(["Always", "Always", "Always", "Never"]),
)
def test_what_is_alike_becomes_what_it_becomes_alone(
    shapes: Any, steps: Any, way: Way, policy: str
) -> None:
    acts = [act for step in steps for act in _acts(shapes, step)]
    asyncio.run(_same(acts, way, [policy] * COUNT))


# --- pods of a workload ---

RUNNING: dict[str, Any] = {
    "metadata": {"uid": "<uid>"},
    "status": {
        "phase": "Running",
        "podIP": "<ip1>",
        "podIPs": [{"ip": "<ip1>"}],
        "hostIP": "<ip2>",
        "hostIPs": [{"ip": "<ip2>"}],
        "startTime": "<t1>",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "<t2>"}],
        "$setElementOrder/conditions": [{"type": "Ready"}, {"type": "PodScheduled"}],
        "containerStatuses": [
            {
                "name": "c",
                "containerID": "<id1>",
                "imageID": "<id2>",
                "state": {"running": {"startedAt": "<t3>"}},
                "volumeMounts": [{"name": "<vol>", "mountPath": "/a"}],
            }
        ],
    },
}


def _usual(pod: int) -> dict[str, Any]:
    own = {"ip1": f"10.0.0.{pod}", "ip2": "10.1.0.2", "id1": f"a://{pod}", "uid": "UID"}
    times = {f"t{n}": f"2026-02-0{n}T00:00:0{pod % 3}Z" for n in (1, 2, 3)}
    own["vol"] = f"kube-api-access-abcd{pod}"
    return {**times, "ip3": "10.1.0.1", "id2": "b://x", **own}


USUALS = [Act(pod, _text(RUNNING, _usual(pod))) for pod in range(COUNT)]
ALWAYS = ["Always"] * COUNT


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("user", ["admin", "fleet", "kubelet"])
async def test_the_pods_of_a_workload_are_made_out_by_the_second(way: Way, user: str) -> None:
    acts = [replace(act, user=user) for act in USUALS]
    assert await _same(acts, way, ALWAYS) == COUNT - 2


async def test_pods_that_run_once_are_alike_until_one_of_their_containers_has_ended() -> None:
    ended = [Act(pod, ENDED_POD) for pod in range(COUNT)]
    again = [Act(pod, RUNNING_POD) for pod in range(COUNT)]
    acts = [*USUALS, *ended, *again]
    assert await _same(acts, Way.BEGUN, ["Never"] * COUNT) == 2 * (COUNT - 2)


async def test_patches_that_change_nothing_are_alike() -> None:
    assert await _same([*USUALS, *USUALS], Way.BEGUN, ALWAYS) == 2 * (COUNT - 2)


@pytest.mark.parametrize(
    ("slot", "value"),
    [(slot, odd) for slot in USUAL for odd in ODD[slot.rstrip("123")]],
)
async def test_a_text_that_is_not_as_the_others_are(slot: str, value: Any) -> None:
    odd = Act(3, _text(RUNNING, {**_usual(3), slot: value}))
    await _same([*USUALS[:3], odd, USUALS[4]], Way.BEGUN, ALWAYS)


# --- what only looks alike: each is the third, and would be wrong if it became what they become ---

ENDED_POD = '{"status":{"containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":1}}}]}}'
RUNNING_POD = '{"status":{"containerStatuses":[{"name":"c","state":{"running":{}}}]}}'
ANOTHER = "01234567-89ab-cdef-0123-456789abcdef"
CLAIMING = '{"status":{"resourceClaimStatuses":[{"name":"a","resourceClaimName":"b"}]}}'


def _after(first: str, values: list[str], text: str) -> list[Act]:
    """A patch of pods with different values: of the last with that which it names itself."""
    before = [Act(pod, first.replace("<value>", value)) for pod, value in enumerate(values)]
    return before + [Act(pod, text) for pod in range(len(values))]


def _with_ip(text: str) -> list[Act]:
    first = '{"status":{"podIP":"<value>","podIPs":[{"ip":"<value>"}]}}'
    return _after(first, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9"], text)


def _with_time(text: str) -> list[Act]:
    times = [f"2026-02-01T00:00:0{n}Z" for n in (1, 2, 3, 9)]
    return _after('{"status":{"startTime":"<value>"}}', times, text)


def _with_id(text: str) -> list[Act]:
    first = '{"status":{"containerStatuses":[{"name":"c","containerID":"<value>"}]}}'
    return _after(first, ["a://1", "a://2", "a://3", "a://9"], text)


def _with_cpu(cpu: str) -> str:
    one = f'{{"name":"c","allocatedResources":{{"cpu":"{cpu}"}}}}'
    return f'{{"status":{{"containerStatuses":[{one}]}}}}'


UNLIKE: dict[str, list[Act]] = {
    "an equal that is written in another way": _with_ip(
        '{"status":{"podIP":null,"podIPs":[{"$patch":"delete","ip": "10.0.0.9"}]}}'
    ),
    "an equal with an escape": _with_ip(
        '{"status":{"podIP":null,"podIPs":[{"$patch":"delete","\\u0069p": "10.0.0.9"}]}}'
    ),
    "an equal": _with_ip(
        '{"status":{"podIP":null,"podIPs":[{"$patch":"delete","ip":"10.0.0.9"}]}}'
    ),
    "an equal time in another form": _with_time(
        '{"status":{"startTime":"2026-02-01T01:00:09+01:00"}}'
    ),
    "an equal time in another form, written in another way": _with_time(
        '{"status":{"startTime": "2026-02-01T01:00:09+01:00"}}'
    ),
    "an equal time that is written in another way": _with_time(
        '{"status":{"startTime": "2026-02-01T00:00:09Z"}}'
    ),
    "an equal ID with an escape": _with_id(
        '{"status":{"containerStatuses":[{"name":"c","containerID":"a:\\/\\/9"}]}}'
    ),
    "an equal ID that is written in another way": _with_id(
        '{"status":{"containerStatuses":[{"name":"c","containerID": "a://9"}]}}'
    ),
    "a text in which none differ": [
        *(Act(pod, _with_cpu("100m")) for pod in range(3)), Act(3, _with_cpu("200m")),
    ],
    "a name that is repeated, where only some are told": [
        *(Act(pod, '{"status":{"phase":"Pending","phase":"Running"}}') for pod in range(3)),
        Act(3, '{"status":{"phase":"Pending","phase":"Running"}}', "admin"),
    ],
    "the name of another pod": [
        *(Act(1, f'{{"metadata":{{"name":"p1"}},"status":{{"podIP":"10.0.0.{n}"}}}}')
          for n in range(4)),
        *(Act(2, f'{{"status":{{"podIP":"10.0.0.{n}"}}}}') for n in range(4)),
        Act(2, '{"metadata":{"name":"p1"},"status":{"podIP":"10.0.0.9"}}'),
    ],
    "the uid of another pod": [
        *(Act(pod, '{"metadata":{"uid":"UID"},"status":{"phase":"Running"}}') for pod in range(3)),
        Act(3, f'{{"metadata":{{"uid":"{ANOTHER}"}},"status":{{"phase":"Running"}}}}'),
    ],
    "a version": [
        *(Act(pod, '{"metadata":{"resourceVersion":"9"},"status":{"phase":"Running"}}')
          for pod in range(4)),
    ],
    "fields that have owners": [
        *(Act(pod, '{"status":{"phase":"Running"}}', "admin") for pod in range(3)),
        Act(3, happens="owned"),
        Act(3, '{"status":{"phase":"Running"}}', "admin"),
    ],
    "a pod that is going": [
        *(Act(pod, '{"status":{"phase":"Running"}}') for pod in range(3)),
        Act(3, happens="ending"),
        Act(3, '{"status":{"phase":"Running"}}'),
    ],
    "containers that are not to run again": [
        *(Act(pod, ENDED_POD) for pod in range(COUNT)),
        *(Act(pod, RUNNING_POD) for pod in range(COUNT)),
    ],
    "another kind of patch": [
        *(Act(pod, '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}')
          for pod in range(3)),
        Act(3, '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}', media=MERGE),
    ],
    "a status that is another": [
        Act(3, '{"status":{"message":"other"}}'),
        *(Act(pod, '{"status":{"phase":"Running"}}') for pod in range(COUNT)),
    ],
    "no address any more": _with_ip('{"status":{"podIP":null,"podIPs":null}}'),
    "an address for what was given": _with_ip('{"status":{"podIP":"10.0.0.3"}}'),
    "who may not": [
        *(Act(pod, '{"status":{"phase":"Running"}}') for pod in range(3)),
        Act(3, '{"status":{"phase":"Running"}}', "other kubelet"),
    ],
    "claims": [
        Act(pod, CLAIMING, user)
        for pod, user in enumerate(["admin", "admin", "admin", "kubelet", "fleet"])
    ],
}  # fmt: skip


@pytest.mark.parametrize("unlike", UNLIKE)
@pytest.mark.parametrize("way", [Way.ALONE, Way.BEGUN])
async def test_what_only_looks_alike(unlike: str, way: Way) -> None:
    policies = ["Always", "Always", "Always", "Never", "OnFailure"]
    if "run again" not in unlike:
        policies = ALWAYS
    await _same(UNLIKE[unlike], way, policies)
