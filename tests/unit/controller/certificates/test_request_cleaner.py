"""CertificateSigningRequests that are over are deleted, as pkg/controller/certificates/cleaner."""

from typing import Any

import pytest
from controllerworld import play
from fakeapi import FakeApi

from kubeherd.cluster.api.kinds import SIGNINGREQUESTS
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.controller.certificates import plan
from kubeherd.controller.certificates.cleaner import INTERVAL_S, CleanerController

HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("kinds", "issued", "hours", "over"),
    [
        ([], False, 23.9, False),
        ([], False, 24.1, True),
        (["Approved"], True, 0.9, False),
        (["Approved"], True, 1.1, True),
        (["Approved"], False, 1.1, False),
        (["Approved"], False, 24.1, True),
        (["Denied"], False, 1.1, True),
        (["Approved", "Failed"], False, 1.1, True),
        (["Other"], False, 99.0, False),
    ],
)
def test_a_request_is_kept_for_a_while(
    kinds: list[str], issued: bool, hours: float, over: bool
) -> None:
    conditions = [{"type": kind, "lastUpdateTime": "then"} for kind in kinds]
    status = {"conditions": conditions, "certificate": "x" if issued else ""}
    tree = {"metadata": {"creationTimestamp": "then"}, "status": status}
    assert plan.is_old(tree, {"then": hours * HOUR_S}.__getitem__) is over


def test_requests_that_are_over_go_once_an_hour() -> None:
    def put(api: FakeApi, name: str, **status: Any) -> None:
        now = format_time(api.clock.now())
        conditions = [{"type": "Approved", "status": "True", "lastUpdateTime": now}]
        api.put(SIGNINGREQUESTS, {
            "metadata": {"name": name, "creationTimestamp": now},
            "status": {"conditions": conditions, **status},
        })  # fmt: skip

    def names(api: FakeApi) -> list[str]:
        return sorted(one["metadata"]["name"] for one in api.all(SIGNINGREQUESTS))

    async def scenario(api: FakeApi) -> None:
        put(api, "answered", certificate="eA==")
        put(api, "waits")
        await api.clock.sleep(INTERVAL_S / 2)
        assert names(api) == ["answered", "waits"]
        await api.clock.sleep(2 * INTERVAL_S)
        assert names(api) == ["waits"]
        await api.clock.sleep(24 * INTERVAL_S)
        assert names(api) == []

    play(CleanerController, scenario=scenario)
