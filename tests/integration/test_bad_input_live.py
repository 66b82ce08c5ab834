"""Bad input over real HTTP: a Status with the right code, nothing stored, never a 500."""

import json
import warnings

import aiohttp
import msgpack
import pytest

from cluster.api.kinds import CONFIGMAPS
from cluster.api.objects import PartialObject
from cluster.client.transport import TransportResponse

pytestmark = pytest.mark.integration

CONFIGMAPS_PATH = "/api/v1/namespaces/default/configmaps"
GOOD = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}'
JSON = "application/json"
DEEP = b'{"metadata":' + b'{"a":' * 20000 + b"1" + b"}" * 20001
HUGE = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"%s"}}' % (
    b"x" * (3 << 20)
)
LONG_NAME = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"}}' % (b"a" * 300)

BAD_CREATES = [
    pytest.param(b'{"kind":', JSON, 400, id="malformed JSON"),
    pytest.param(b"", JSON, 400, id="empty body"),
    pytest.param(b"[]", JSON, 400, id="a JSON list"),
    pytest.param(b'"text"', JSON, 400, id="a JSON string"),
    pytest.param(b"\xff\xfe\x00", JSON, 400, id="not UTF-8"),
    pytest.param(b"a: [1", "application/yaml", 400, id="malformed YAML"),
    pytest.param(b"&a [*a]", "application/yaml", 400, id="YAML that contains itself"),
    pytest.param(b"\xc1", "application/msgpack", 400, id="malformed msgpack"),
    pytest.param(b"\x82\xa4kind", "application/msgpack", 400, id="truncated msgpack"),
    pytest.param(msgpack.packb([1, 2]), "application/msgpack", 400, id="a msgpack list"),
    pytest.param(DEEP, JSON, 400, id="nested too deeply"),
    pytest.param(HUGE, JSON, 413, id="over 3 MiB"),
    pytest.param(GOOD, "text/plain", 415, id="unknown media type"),
    pytest.param(GOOD, "application/vnd.kubernetes.protobuf", 400, id="not protobuf"),
    pytest.param(GOOD.replace(b'"v"}', b"5}"), JSON, 400, id="wrong type"),
    pytest.param(GOOD.replace(b"ConfigMap", b"Secret"), JSON, 400, id="another kind"),
    pytest.param(GOOD.replace(b'"a"', b'"A b"'), JSON, 422, id="invalid name"),
    pytest.param(GOOD.replace(b'"a"', b'"../x"'), JSON, 422, id="path as a name"),
    pytest.param(GOOD.replace(b'{"name":"a"}', b"{}"), JSON, 422, id="no name"),
    pytest.param(LONG_NAME, JSON, 422, id="name too long"),
]


async def send(herd, method: str, path: str, body=b"", content_type=JSON) -> TransportResponse:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # aiohttp dislikes large bodies
        return await herd.client.transport.request(
            method, path, body=body, content_type=content_type, accept=JSON, timeout_s=20
        )


def check(response: TransportResponse, code: int) -> None:
    status = response_json(response)
    assert (response.status, status["kind"], status["status"]) == (code, "Status", "Failure")
    assert status["code"] == code
    assert status["reason"]
    assert status["message"]


def response_json(response: TransportResponse):
    return json.loads(response.body)


async def stored(herd) -> list[str]:
    listed = await herd.client.list(CONFIGMAPS, PartialObject, "default")
    return sorted(o.metadata.name for o in listed.items if o.metadata.name != "kube-root-ca.crt")


@pytest.mark.herd(nodes=0)
async def test_bad_requests(herd, subtests):
    for case in BAD_CREATES:
        body, content_type, code = case.values
        with subtests.test(case.id):
            check(await send(herd, "POST", CONFIGMAPS_PATH, body, content_type), code)
            assert await stored(herd) == []

    assert (await send(herd, "POST", CONFIGMAPS_PATH, GOOD)).status == 201
    item = f"{CONFIGMAPS_PATH}/a"
    stale = GOOD.replace(b'"name":"a"', b'"name":"a","resourceVersion":"1"')
    merge = "application/merge-patch+json"
    others = [
        ("POST", CONFIGMAPS_PATH, GOOD, JSON, 409),
        ("PUT", item, stale, JSON, 409),
        ("PUT", item, GOOD.replace(b'"name":"a"', b'"name":"b"'), JSON, 400),
        ("PATCH", item, b"{}", "application/strange-patch+json", 415),
        ("PATCH", item, b"{", merge, 400),
        ("PATCH", item, b'[{"op":"fly"}]', "application/json-patch+json", 422),
        ("PATCH", item, b'{"metadata":{"resourceVersion":"1"},"data":{"k":"w"}}', merge, 409),
        ("GET", f"{CONFIGMAPS_PATH}/nobody", b"", JSON, 404),
        ("GET", "/apis/no.such/v1/things", b"", JSON, 404),
        ("POST", "/api/v1/namespaces/nowhere/configmaps", GOOD, JSON, 404),
        ("DELETE", item, b"{", JSON, 400),
        ("PUT", CONFIGMAPS_PATH, GOOD, JSON, 405),
    ]
    for method, path, body, content_type, code in others:
        with subtests.test(f"{method} {path} {body[:40]!r}"):
            response = await send(herd, method, path, body, content_type)
            assert response.status == code, response.body
            if not path.startswith("/apis/no.such"):  # no such group: Kubernetes answers in text
                check(response, code)
    found = response_json(await send(herd, "GET", item))
    assert found["data"] == {"k": "v"}
    assert await stored(herd) == ["a"]


@pytest.mark.herd(nodes=0)
async def test_nobody_gets_in_without_a_certificate(herd):
    server = herd.handle.settings.server
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server}/api/v1/nodes", ssl=False) as response:
            assert response.status in (401, 403)
            assert (await response.json())["kind"] == "Status"
        async with session.get(f"{server}/readyz", ssl=False) as response:
            assert response.status == 200
        async with session.get(f"{server}/version", ssl=False) as response:
            assert response.status == 200
