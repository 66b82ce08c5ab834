"""Bootstrap tokens at the API server: who one is, and what he may do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apicluster import MERGE, Cluster

from kubeherd.cluster.api.errors import Unauthorized
from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.helpers.bootstraptoken import Token

TOKEN = Token("abcdef", "0123456789abcdef")
SECRETS = "/api/v1/namespaces/kube-system/secrets"
SECRET = f"{SECRETS}/bootstrap-token-abcdef"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


@pytest.fixture
async def cluster(cluster: Cluster) -> Cluster:
    """With the token, which is good for an hour."""
    made = bootstraptoken.secret(TOKEN, datetime.now(UTC) + timedelta(hours=1))
    assert (await cluster.post(SECRETS, made)).status == 201
    return cluster


async def test_who_shows_a_token(cluster: Cluster) -> None:
    user = cluster.api.authenticator.of_header(f"Bearer {TOKEN.text}")
    assert (user.name, user.groups) == (
        "system:bootstrap:abcdef",
        ("system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token",
         "system:authenticated"),
    )  # fmt: skip
    own = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    whoami = (await cluster.post(own, {}, user=user)).tree
    assert whoami["status"]["userInfo"]["username"] == "system:bootstrap:abcdef"
    assert (await cluster.get(SECRET, user=user)).status == 403


@pytest.mark.parametrize("text", ["abcdef.0123456789abcdeg", "abcdeg.0123456789abcdef", "x"])
async def test_another_token_is_nobodys(cluster: Cluster, text: str) -> None:
    with pytest.raises(Unauthorized):
        cluster.api.authenticator.of_header(f"Bearer {text}")


async def test_a_token_ends_with_its_time_and_with_its_secret(cluster: Cluster) -> None:
    shown = f"Bearer {TOKEN.text}"
    past = {"stringData": {"expiration": "2020-01-01T00:00:00Z"}}
    assert (await cluster.patch(SECRET, past, MERGE)).status == 200
    with pytest.raises(Unauthorized):
        cluster.api.authenticator.of_header(shown)
    later = {"data": {"expiration": None}}
    assert (await cluster.patch(SECRET, later, MERGE)).status == 200
    assert cluster.api.authenticator.of_header(shown).name == "system:bootstrap:abcdef"
    assert (await cluster.delete(SECRET)).status == 200
    with pytest.raises(Unauthorized):
        cluster.api.authenticator.of_header(shown)


async def test_a_review_of_a_token(cluster: Cluster) -> None:
    async def status(**spec: Any) -> Any:
        asked = {"spec": {"token": TOKEN.text, **spec}}
        return (await cluster.post(REVIEWS, asked)).tree["status"]

    reviewed = await status()
    assert reviewed["authenticated"]
    assert reviewed["user"]["username"] == "system:bootstrap:abcdef"
    assert "authenticated" not in await status(audiences=["vault"])
