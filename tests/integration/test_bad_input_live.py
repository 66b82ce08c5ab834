"""Bad input over real HTTP: a Status with the right code, nothing stored, never a fault of the
server: 500 is what Kubernetes answers without a reason to what it has no Status for."""

import json
import warnings
from urllib.parse import parse_qsl

import aiohttp
import msgpack
import pytest
from liveherd import Herd
from patience import PATIENCE_S

from kubeherd.cluster.api.kinds import CONFIGMAPS
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.transport import TransportResponse

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
    pytest.param(GOOD.replace(b'"a"', '"\N{SNOWMAN}"'.encode()), JSON, 422, id="name not ASCII"),
    pytest.param(GOOD.replace(b'"a"', b'"a\\u0000"'), JSON, 422, id="NUL in a name"),
    pytest.param(GOOD.replace(b'"v"', b'"\\ud800"'), JSON, 400, id="half a surrogate"),
    pytest.param(GOOD.replace(b'"v"', b"NaN"), JSON, 400, id="NaN"),
    pytest.param(b"null", JSON, 422, id="null"),
    pytest.param(GOOD.replace(b'{"name":"a"}', b'"a"'), JSON, 400, id="metadata is a string"),
    pytest.param(GOOD.replace(b'"a"}', b'"a","labels":{"a b":"c"}}'), JSON, 422, id="bad label"),
    pytest.param(GOOD.replace(b'"a"}', b'"a","finalizers":["x"]}'), JSON, 422, id="bad finalizer"),
    pytest.param(GOOD.replace(b'"a"}', b'"a","namespace":"b"}'), JSON, 400, id="other namespace"),
    pytest.param(GOOD.replace(b'"a"}', b'"a","resourceVersion":"5"}'), JSON, 500, id="not new"),
    pytest.param(GOOD.replace(b'"v1"', b'"v2"'), JSON, 400, id="unknown version"),
    pytest.param(GOOD.replace(b'"v"', b'"%s"' % (b"x" * 1048577)), JSON, 422, id="over 1 MiB"),
    pytest.param(b"!!python/object:os.system {}", "application/yaml", 422, id="YAML with a tag"),
    pytest.param(b"\x81\xa4kind\xc4\x01a", "application/msgpack", 400, id="msgpack with bytes"),
    pytest.param(b"\x81\x01\x02", "application/msgpack", 400, id="msgpack with number keys"),
    pytest.param(b"k8s\x00\xff", "application/vnd.kubernetes.protobuf", 400, id="half protobuf"),
]
"""Body, media type, code of a POST that stores nothing."""
BAD_QUERIES = [
    ("resourceVersion=abc", 400),
    ("resourceVersion=99999999", 504),
    ("limit=x", 400),
    ("continue=garbage", 400),
    ("labelSelector=a%20b%20c", 400),
    ("fieldSelector=x.y=1", 400),
    ("resourceVersionMatch=Exact", 422),
    ("watch=1&resourceVersion=abc", 500),
    ("watch=1&timeoutSeconds=x", 400),
    ("watch=1&poll=1", 400),
    ("watch=1&poll=1&resourceVersion=99999999", 410),
]


async def send(
    herd: Herd, method: str, path: str, body=b"", content_type=JSON
) -> TransportResponse:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # aiohttp dislikes large bodies
        path, _, query = path.partition("?")
        return await herd.client.transport.request(
            method,
            path,
            query=dict(parse_qsl(query)),
            body=body,
            content_type=content_type,
            accept=JSON,
            timeout_s=PATIENCE_S,
        )


def check(response: TransportResponse, code: int) -> None:
    status = response_json(response)
    assert (response.status, status["kind"], status["status"]) == (code, "Status", "Failure")
    assert status["code"] == code
    assert bool(status.get("reason")) is (code != 500)
    assert status["message"]


def response_json(response: TransportResponse):
    return json.loads(response.body)


async def stored(herd: Herd) -> list[str]:
    listed = await herd.client.list(CONFIGMAPS, PartialObject, "default")
    return sorted(o.metadata.name for o in listed.items if o.metadata.name != "kube-root-ca.crt")


@pytest.mark.kubeherd(nodes=0)
async def test_bad_requests(herd: Herd, subtests):
    for case in BAD_CREATES:
        body, content_type, code = case.values
        assert isinstance(code, int)
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
        ("PATCH", item, b"[]", merge, 400),
        ("PATCH", item, b'{"metadata":{"name":"b"}}', merge, 400),
        ("PATCH", item, b'{"data":{"k":5}}', merge, 422),
        ("PATCH", item, b'{"data":{"k":"%s"}}' % (b"x" * (3 << 20)), merge, 413),
        ("PATCH", item, GOOD, "application/apply-patch+yaml", 422),
        ("PATCH", f"{item}?fieldManager=m", b"kind: Pod", "application/apply-patch+yaml", 400),
        ("PUT", item, b"{}", JSON, 400),
        ("PUT", item, GOOD.replace(b'"a"}', b'"a","uid":"x"}'), JSON, 409),
        ("DELETE", item, b'{"preconditions":{"uid":"x"}}', JSON, 409),
        ("DELETE", item, b'{"propagationPolicy":"x"}', JSON, 422),
        ("DELETE", f"{item}?dryRun=x", b"", JSON, 422),
        ("GET", f"{CONFIGMAPS_PATH}/%00", b"", JSON, 404),
        ("GET", f"{CONFIGMAPS_PATH}/{'x' * 2000}", b"", JSON, 404),
        *(("GET", f"{CONFIGMAPS_PATH}?{query}", b"", JSON, code) for query, code in BAD_QUERIES),
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


@pytest.mark.kubeherd(nodes=0)
async def test_nobody_gets_in_without_a_certificate(herd: Herd):
    server = herd.handle.settings.server
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server}/api/v1/nodes", ssl=False) as response:
            assert response.status in (401, 403)
            assert (await response.json())["kind"] == "Status"
        async with session.get(f"{server}/readyz", ssl=False) as response:
            assert response.status == 200
        async with session.get(f"{server}/version", ssl=False) as response:
            assert response.status == 200
