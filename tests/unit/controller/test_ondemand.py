"""Controllers that are made when they are needed (controller/ondemand.py)."""

import asyncio

from controllerworld import play
from fakeapi import FakeApi

from kubeherd.cluster.api.kinds import CONFIGMAPS
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.controller.manager import Context
from kubeherd.controller.ondemand import OnDemand, Wake


class Counting:
    """A controller that says which objects its cache shows when it begins to work."""

    def __init__(self, context: Context, log: list[list[str]]) -> None:
        self._cache = context.informers.get(CONFIGMAPS, PartialObject).cache
        self._recorder = context.recorder("counting")
        self._log = log

    async def run(self) -> None:
        self._log.append(sorted(name for _, name in self._cache.keys()))  # noqa: SIM118
        await asyncio.Event().wait()


def configmap(name: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "ns"}}


def test_nothing_is_made_before_an_object_concerns_it() -> None:
    log: list[list[str]] = []
    contexts: list[Context] = []

    def standing_in(context: Context) -> OnDemand:
        contexts.append(context)
        wake = Wake((CONFIGMAPS,), lambda found: found.metadata.name != "of-no-interest")
        return OnDemand(context, lambda own: Counting(own, log), wake)

    async def scenario(api: FakeApi) -> None:
        api.put(CONFIGMAPS, configmap("of-no-interest"))
        await asyncio.sleep(60)
        assert log == []
        api.put(CONFIGMAPS, configmap("a"))
        await asyncio.sleep(30)
        assert log == [["a", "of-no-interest"]]

    play(standing_in, scenario=scenario)
    assert contexts[0].recorders == [], "what an idle controller would say costs no task"


def test_what_was_there_before_wakes_it_too() -> None:
    log: list[list[str]] = []

    async def scenario(api: FakeApi) -> None:
        api.put(CONFIGMAPS, configmap("a"))
        await asyncio.sleep(30)
        api.remove(CONFIGMAPS, "a", "ns")
        await asyncio.sleep(60)

    def standing_in(context: Context) -> OnDemand:
        return OnDemand(context, lambda own: Counting(own, log), Wake((CONFIGMAPS,)))

    play(standing_in, scenario=scenario)
    assert log == [["a"]], "made once, and it stays"
