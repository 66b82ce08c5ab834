"""Secrets of type kubernetes.io/service-account-token are filled, and go with their account."""

import base64
from pathlib import Path
from typing import Any

import pytest
from controllerworld import play
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakeapi import FakeApi

from kubeherd.cluster.api.kinds import SECRETS, SERVICEACCOUNTS
from kubeherd.cluster.api.webtokens import TokenKey
from kubeherd.controller.manager import Keys
from kubeherd.controller.serviceaccount.tokens import TokensController

TYPE = "kubernetes.io/service-account-token"
UID = "kubernetes.io/service-account.uid"


def secret(name: str, account: str, type_: str = TYPE, **annotations: str) -> dict[str, Any]:
    annotations["kubernetes.io/service-account.name"] = account
    return {
        "metadata": {"name": name, "namespace": "ns", "annotations": annotations},
        "type": type_,
    }


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    file = tmp_path / "sa.key"
    file.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Keys(tokens=file)


def test_a_secret_gets_a_token_of_its_account(keys: Keys) -> None:
    async def scenario(api: FakeApi) -> None:
        account = api.put(SERVICEACCOUNTS, {"metadata": {"name": "robot", "namespace": "ns"}})
        uid = account["metadata"]["uid"]
        api.put(SECRETS, secret("s", "robot"))
        await api.clock.sleep(1)
        found = api.get(SECRETS, "s", "ns")
        assert found is not None
        assert found["metadata"]["annotations"][UID] == uid
        data = {key: base64.b64decode(value).decode() for key, value in found["data"].items()}
        assert (data["namespace"], data["ca.crt"]) == ("ns", "CA\n")
        assert keys.tokens is not None
        assert TokenKey.from_pem(keys.tokens.read_bytes()).claims(data["token"]) == {
            "iss": "kubernetes/serviceaccount",
            "sub": "system:serviceaccount:ns:robot",
            "kubernetes.io/serviceaccount/namespace": "ns",
            "kubernetes.io/serviceaccount/secret.name": "s",
            "kubernetes.io/serviceaccount/service-account.name": "robot",
            "kubernetes.io/serviceaccount/service-account.uid": uid,
        }
        writes = len(api.writes)
        await api.clock.sleep(60)
        assert len(api.writes) == writes, "nothing to do any more"
        api.change(SECRETS, "s", {"data": {"ca.crt": "eA=="}}, "ns")
        await api.clock.sleep(1)
        mended = api.get(SECRETS, "s", "ns")
        assert mended is not None
        assert mended["data"] == found["data"]

    play(TokensController, scenario=scenario, keys=keys)


def test_a_secret_goes_with_its_account_and_no_other_does(keys: Keys) -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(SERVICEACCOUNTS, {"metadata": {"name": "robot", "namespace": "ns"}})
        api.put(SECRETS, secret("orphan", "ghost"))
        api.put(SECRETS, secret("old", "robot", **{UID: "another"}))
        api.put(SECRETS, secret("plain", "ghost", "Opaque"))
        api.put(SECRETS, secret("s", "robot"))
        await api.clock.sleep(1)
        assert sorted(one["metadata"]["name"] for one in api.all(SECRETS)) == ["plain", "s"]
        api.remove(SERVICEACCOUNTS, "robot", "ns")
        await api.clock.sleep(1)
        assert [one["metadata"]["name"] for one in api.all(SECRETS)] == ["plain"]

    play(TokensController, scenario=scenario, keys=keys)


def test_without_a_key_nothing_is_signed() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(SECRETS, secret("orphan", "ghost"))
        await api.clock.sleep(10)
        assert api.writes == []

    play(TokensController, scenario=scenario)
