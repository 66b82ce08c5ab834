"""Faults of connections over TLS: what breaks, who is known by the certificate, who has gone."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest
from apicluster import config_map
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from wireserver import Served, serving

from kubeherd.faults import Clients, Effect, Fault, effects
from kubeherd.faults.effects import Moment

CMS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as server:
        yield server


async def has_gone(served: Served) -> bool:
    """Whether the server knows that nobody is connected any more."""
    for _ in range(100_000):
        if not served.http._connections.connections:
            return True
        await asyncio.sleep(0)
    return False


def hurt(served: Served, effect: Effect, target: Clients | None = None) -> None:
    served.api.hurt([Fault(id="f1", target=target or Clients(), effect=effect)])


@pytest.mark.parametrize("moment", Moment)
async def test_a_dropped_connection_has_no_answer(served: Served, moment: Moment) -> None:
    async with served.admin() as session:
        hurt(served, effects.ApiDrop(moment=moment, verbs=("create",)))
        with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
            await session.post(CMS, json=config_map())
        async with session.get(f"{CMS}/x") as response:
            assert response.status == (404 if moment is Moment.BEFORE else 200)


async def test_a_client_is_known_by_its_certificate(served: Served) -> None:
    certificate, _ = served.authority.identity("alice", "system:masters")
    der = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)
    context = served.tls(certificate, certificate.with_suffix(".key"))
    base = f"https://127.0.0.1:{served.port}"
    hurt(served, effects.ApiError(code=503), Clients(certificate=sha256(der).hexdigest()))
    session = aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=context))
    async with session, session.get(CMS) as response:
        assert response.status == 503
    async with served.session("alice", "system:masters") as session, session.get(CMS) as response:
        assert response.status == 200
    async with served.session() as session, session.get("/version") as response:
        assert response.status == 200


async def test_a_write_of_a_client_who_has_gone_is_not_carried_out_when_the_cable_is_back(
    served: Served,
) -> None:
    async with served.admin() as session, served.admin() as other:
        hurt(served, effects.Partition(), Clients(user_agent="Python*"))
        timeout = aiohttp.ClientTimeout(total=0.2)
        with pytest.raises(TimeoutError):
            await session.post(CMS, json=config_map(), timeout=timeout)
        headers = {"User-Agent": "other"}
        assert await has_gone(served)
        served.api.hurt([])
        async with other.get(f"{CMS}/x", headers=headers) as response:
            assert response.status == 404
