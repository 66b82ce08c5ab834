"""Expired bootstrap tokens go; good ones sign `cluster-info`, and nobody else does."""

from datetime import timedelta
from typing import Any

from controllerworld import play
from fakeapi import FakeApi

from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.helpers.bootstraptoken import Token
from kubeherd.cluster.api.kinds import CONFIGMAPS, SECRETS
from kubeherd.controller.bootstrap.bootstrapsigner import BootstrapSigner
from kubeherd.controller.bootstrap.tokencleaner import TokenCleaner

SECRET = "0123456789abcdef"


def put(api: FakeApi, token_id: str, seconds: float | None, **more: Any) -> None:
    until = None if seconds is None else api.clock.now() + timedelta(seconds=seconds)
    api.put(SECRETS, bootstraptoken.secret(Token(token_id, SECRET), until, **more))


def names(api: FakeApi) -> list[str]:
    return sorted(one["metadata"]["name"][-6:] for one in api.all(SECRETS))


def test_a_token_is_deleted_when_its_time_is_over() -> None:
    async def scenario(api: FakeApi) -> None:
        put(api, "aaaaaa", 60)
        put(api, "bbbbbb", None)
        put(api, "cccccc", -1)
        api.put(SECRETS, {"metadata": {"name": "other-dddddd", "namespace": "kube-system"},
                          "type": "Opaque", "data": {"expiration": "MTk3MA=="}})  # fmt: skip
        await api.clock.sleep(50)
        assert names(api) == ["aaaaaa", "bbbbbb", "dddddd"]
        await api.clock.sleep(15)
        assert names(api) == ["bbbbbb", "dddddd"]

    play(TokenCleaner, scenario=scenario)


def test_tokens_sign_what_is_said_about_the_cluster() -> None:
    def signatures(api: FakeApi) -> dict[str, str]:
        info = api.get(CONFIGMAPS, "cluster-info", "kube-public")
        assert info is not None
        return {key: text for key, text in info["data"].items() if key != "kubeconfig"}

    async def scenario(api: FakeApi) -> None:
        put(api, "aaaaaa", 60)
        put(api, "bbbbbb", 60, usages=["authentication"])
        put(api, "cccccc", -1)
        await api.clock.sleep(1)
        assert api.writes == []  # there is nothing to sign
        data = {"kubeconfig": "k", "jws-kubeconfig-zzzzzz": "not a token's any more"}
        named = {"name": "cluster-info", "namespace": "kube-public"}
        api.put(CONFIGMAPS, {"metadata": named, "data": data})
        await api.clock.sleep(1)
        token = Token("aaaaaa", SECRET)
        wanted = {"jws-kubeconfig-aaaaaa": bootstraptoken.signature("k", token)}
        assert signatures(api) == wanted
        assert len(api.writes) == 1
        api.remove(SECRETS, "bootstrap-token-aaaaaa", "kube-system")
        await api.clock.sleep(1)
        assert signatures(api) == {}

    play(BootstrapSigner, scenario=scenario)
