"""Controllers under their own service accounts (controller/accounts.py)."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from daemonset_world import EPOCH
from scripted_transport import Answer, ScriptedTransport

import kubeherd.cluster.apiserver.access.authz
from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import SERVICEACCOUNTS
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.batching import ProcessSlots
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import HttpTransport
from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.client.sending import Write
from kubeherd.controller import registry
from kubeherd.controller.accounts import (
    ACCOUNTS,
    TOKEN_LIFE_S,
    AccountClients,
    AccountTokens,
    AccountTransport,
)
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock

ACCOUNT = "/api/v1/namespaces/kube-system/serviceaccounts/daemon-set-controller"
UNAUTHORIZED = 401


class Server:
    """Gives tokens t1, t2, ... and takes those that are not revoked."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.account_exists = True
        self.stops = False
        self.given = 0
        self.revoked: set[str] = set()
        self.bearer = ""

    def process(self, method: str, path: str, body: JsonObject) -> Answer:
        """What the process' own identity is answered."""
        if self.stops:
            return errors.ServiceUnavailable("the server is shutting down")
        if path == f"{ACCOUNT}/token":
            if not self.account_exists:
                return errors.not_found(SERVICEACCOUNTS, "daemon-set-controller")
            self.given += 1
            expires = self.clock.now() + timedelta(seconds=body["spec"]["expirationSeconds"])
            return {
                "status": {"token": f"t{self.given}", "expirationTimestamp": format_time(expires)}
            }
        self.account_exists = True
        return body

    def account(self, _method: str, _path: str, _body: JsonObject) -> Answer:
        """What whoever carries `bearer` is answered."""
        if self.bearer in self.revoked:
            return errors.Unauthorized("Unauthorized")
        return {"token": self.bearer}


class Bearing(ScriptedTransport):
    """A transport that tells the server its token."""

    server: Server

    async def request(self, method: str, path: str, *, token: str = "", **given: Any) -> Any:
        self.server.bearer = token
        return await super().request(method, path, **given)


def world() -> tuple[Server, ScriptedTransport, ApiClient]:
    clock = VirtualClock(EPOCH)
    server = Server(clock)
    process = ScriptedTransport(server.process)
    tokens = AccountTokens(
        ApiClient(process, clock, private_features=False), "daemon-set-controller", clock
    )
    http = Bearing(server.account)
    http.server = server
    client = ApiClient(
        AccountTransport(http, tokens),  # type: ignore[arg-type]
        clock,
        private_features=False,
    )
    return server, process, client


async def who(client: ApiClient) -> str:
    return str((await client.request("GET", "/api"))["token"])


def test_a_token_is_asked_for_once_and_again_before_it_ends() -> None:
    async def run() -> None:
        server, _, client = world()
        assert await who(client) == await who(client) == "t1"
        await server.clock.sleep(TOKEN_LIFE_S * 0.7)
        assert await who(client) == "t1"
        await server.clock.sleep(TOKEN_LIFE_S * 0.11)
        assert await who(client) == "t2"

    virtualtime.run(run())


async def test_an_account_that_is_missing_is_created() -> None:
    server, process, client = world()
    server.account_exists = False
    assert await who(client) == "t1"
    assert process.methods() == ["POST", "POST", "POST"]


async def test_a_refused_token_is_replaced_and_the_request_repeated() -> None:
    server, _, client = world()
    await who(client)
    server.revoked = {"t1"}
    assert await who(client) == "t2"


async def test_a_refusal_of_the_new_token_too_is_an_answer() -> None:
    server, _, client = world()
    server.revoked = {f"t{number}" for number in range(9)}
    with pytest.raises(errors.Unauthorized):
        await who(client)
    assert server.given == 2


async def test_what_is_said_instead_of_a_token_is_what_becomes_of_each_write() -> None:
    server, _, client = world()
    server.stops = True
    with pytest.raises(errors.ServiceUnavailable, match="the server is shutting down"):
        await who(client)
    writes = [Write("POST", "/api/v1/namespaces/default/events", b"{}", "application/json")] * 2
    outcomes = await client.send_all(writes)
    assert [type(outcome) for outcome in outcomes] == [errors.ServiceUnavailable] * 2


async def test_who_has_no_account_acts_as_the_process_does() -> None:
    process = ApiClient(ScriptedTransport(lambda *_: {}), VirtualClock(EPOCH))
    http = HttpTransport(ClusterAccess("https://x"))
    clients = AccountClients(process, http, VirtualClock(EPOCH), ProcessSlots())
    assert clients.client("scheduler") is process
    own = clients.client("node-lifecycle-controller")
    assert own is clients.client("taint-eviction-controller") is not process


def test_every_account_has_its_role() -> None:
    """What the API server makes at its start (and upstream's too) is what the accounts may do."""
    folder = Path(kubeherd.cluster.apiserver.access.authz.__file__).parent
    policy = json.dumps(json.loads((folder / "policy.json").read_text()))
    without = {name for name in ACCOUNTS.values() if f'"system:controller:{name}"' not in policy}
    assert without == set()


def test_only_the_scheduler_and_the_tokens_have_no_account() -> None:
    without = set(registry.CONTROLLERS) - set(ACCOUNTS)
    assert without == {"scheduler", "serviceaccount-token-controller"}
    assert set(ACCOUNTS) <= set(registry.CONTROLLERS)
