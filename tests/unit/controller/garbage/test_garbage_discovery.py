"""Which kinds the server has, read from its discovery documents."""

from collections.abc import Mapping

import msgspec

from kubeherd.cluster.api.errors import NotFound, ServiceUnavailable
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, PODS
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportResponse
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.controller.discovery import Kinds

ALL_VERBS = ["create", "delete", "get", "list", "watch"]


def group(name: str, *versions: str) -> JsonObject:
    return {
        "name": name,
        "versions": [{"version": version} for version in versions],
        "preferredVersion": {"version": versions[0]},
    }


def kind(plural: str, name: str, verbs: list[str] = ALL_VERBS) -> JsonObject:
    return {"name": plural, "kind": name, "namespaced": True, "verbs": verbs}


class Documents:
    """A transport that only knows discovery documents."""

    def __init__(self, documents: Mapping[str, JsonObject]) -> None:
        self.documents = dict(documents)
        self.asked: list[str] = []

    async def request(self, _method: str, path: str, **_options: object) -> TransportResponse:
        self.asked.append(path)
        if path in self.documents:
            return TransportResponse(200, msgspec.json.encode(self.documents[path]))
        error = ServiceUnavailable("down") if "down" in path else NotFound("no")
        return TransportResponse(error.status_code, msgspec.json.encode(error.status()))


def kinds_of(documents: Documents) -> Kinds:
    return Kinds(ApiClient(documents, LoopClock()))  # type: ignore[arg-type]


CORE = {"resources": [kind("pods", "Pod"), kind("pods/status", "Pod"), kind("events", "Event")]}
APPS = {"resources": [kind("daemonsets", "DaemonSet"), kind("reviews", "Review", ["create"])]}


async def test_preferred_versions_deletable_kinds_custom_resources() -> None:
    documents = Documents(
        {
            "/apis": {"groups": [group("apps", "v1"), group("example.com", "v2", "v1")]},
            "/api/v1": CORE,
            "/apis/apps/v1": APPS,
            "/apis/example.com/v2": {"resources": [kind("things", "Thing")]},
            "/apis/example.com/v1": {"resources": [kind("things", "Thing")]},
        }
    )
    kinds = kinds_of(documents)
    assert await kinds.refresh()
    assert kinds.collectable[:2] == [PODS, DAEMONSETS]
    (thing,) = kinds.collectable[2:]
    assert (thing.api_version, thing.plural, thing.namespaced) == ("example.com/v2", "things", True)
    old = kinds.for_kind("example.com/v1", "Thing")
    assert old is not None
    assert old.path("ns", "x") == "/apis/example.com/v1/namespaces/ns/things/x"
    assert kinds.for_kind("example.com/v1", "Nothing") is None


async def test_asking_again_costs_one_request_while_nothing_changes() -> None:
    documents = Documents({"/apis": {"groups": []}, "/api/v1": CORE})
    kinds = kinds_of(documents)
    await kinds.refresh()
    documents.asked.clear()
    assert not await kinds.refresh()
    assert documents.asked == ["/apis"]


async def test_a_group_that_is_down_hides_no_other_and_is_asked_again() -> None:
    documents = Documents(
        {
            "/apis": {"groups": [group("down.example.com", "v1"), group("apps", "v1")]},
            "/api/v1": CORE,
            "/apis/apps/v1": APPS,
        }
    )
    kinds = kinds_of(documents)
    await kinds.refresh()
    assert kinds.collectable == [PODS, DAEMONSETS]
    assert kinds.failures == ("down.example.com/v1: down",)
    documents.documents["/apis/down.example.com/v1"] = {"resources": [kind("things", "Thing")]}
    assert await kinds.refresh()
    assert [resource.plural for resource in kinds.collectable] == ["pods", "things", "daemonsets"]


async def test_a_new_definition_in_a_group_that_is_there_is_noticed() -> None:
    things = {"resources": [kind("things", "Thing")]}
    documents = Documents(
        {
            "/apis": {"groups": [group("example.com", "v1")]},
            "/api/v1": CORE,
            "/apis/example.com/v1": things,
        }
    )
    kinds = kinds_of(documents)
    await kinds.refresh()
    assert not await kinds.refresh()
    more = {"resources": [kind("things", "Thing"), kind("others", "Other")]}
    documents.documents["/apis/example.com/v1"] = more
    assert await kinds.refresh()
    assert [resource.plural for resource in kinds.collectable] == ["pods", "things", "others"]
