"""Custom resources whose versions a conversion webhook makes: a real HTTPS server on loopback.

Behaviour and texts as of Kubernetes 1.36 (apiextensions-apiserver, conversion/webhook_converter.go;
e2e crd_conversion_webhook.go).
"""

import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from apicluster import APPLY, MERGE, Cluster
from crdcluster import DEFINITIONS, NAME, WIDGETS, custom_cluster, definition, version
from throwawaypki import Authority

from kubeherd.cluster.apiserver.customresources.webhookconversion import Kept

V2 = WIDGETS.replace("/v1/", "/v2/")
Change = Callable[[dict[str, Any]], Any]


class Converter:
    """v1 has ``spec.hostPort``, v2 has ``spec.host`` and ``spec.port``. `change` is done to the
    response before it is sent."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.asked: list[dict[str, Any]] = []
        self.change: Change = lambda review: None
        self.url = ""

    async def _answer(self, request: web.Request) -> web.Response:
        review = orjson.loads(await request.read())
        self.asked.append(review["request"])
        wanted = review["request"]["desiredAPIVersion"]
        review["response"] = {
            "uid": review["request"]["uid"],
            "result": {"status": "Success"},
            "convertedObjects": [_converted(o, wanted) for o in review["request"]["objects"]],
        }
        self.change(review)
        return web.json_response(review)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Converter"]:
        app = web.Application()
        app.router.add_post("/convert", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pki = self.authority.directory / "pki"
        context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        self.url = f"https://127.0.0.1:{runner.addresses[0][1]}/convert"
        try:
            yield self
        finally:
            await runner.cleanup()

    def definition(self, **client: Any) -> dict[str, Any]:
        """v1 is stored, v2 is served as well."""
        bundle = base64.b64encode(self.authority.certificate).decode()
        one, two = version("v1"), version("v2", storage=False)
        for form in one, two:
            form["schema"]["openAPIV3Schema"]["properties"]["spec"] = {"type": "object"}
            del form["subresources"]
        spec = "openAPIV3Schema"
        one["schema"][spec]["properties"]["spec"]["properties"] = {
            "hostPort": {"type": "string"},
            "note": {"type": "string", "default": "none"},
        }
        two["schema"][spec]["properties"]["spec"]["properties"] = {
            "host": {"type": "string"},
            "port": {"type": "string"},
            "note": {"type": "string"},
        }
        tree = definition(one, two)
        tree["spec"]["conversion"] = {
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": client or {"url": self.url, "caBundle": bundle},
                "conversionReviewVersions": ["v1", "v1beta1"],
            },
        }
        return tree


def _converted(tree: dict[str, Any], wanted: str) -> dict[str, Any]:
    spec = dict(tree["spec"])
    if wanted.endswith("/v2"):
        spec["host"], _, spec["port"] = spec.pop("hostPort", ":").partition(":")
    else:
        spec["hostPort"] = f"{spec.pop('host', '')}:{spec.pop('port', '')}"
    return {**tree, "apiVersion": wanted, "spec": {**spec, "unknown": "is pruned"}}


def v1(name: str = "w", host_port: str = "a:1") -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name, "labels": {"app": "x"}},
        "spec": {"hostPort": host_port},
    }


def v2(name: str = "w") -> dict[str, Any]:
    return {**v1(name), "apiVersion": "example.com/v2", "spec": {"host": "b", "port": "2"}}


@asynccontextmanager
async def cluster_with(path: Path, **client: Any) -> AsyncIterator[tuple[Cluster, Converter]]:
    async with (
        Converter(path).running() as webhook,
        custom_cluster(webhook.definition(**client)) as cluster,
    ):
        yield cluster, webhook


async def test_an_object_is_converted_when_it_is_read(tmp_path: Path) -> None:
    async with cluster_with(tmp_path) as (cluster, webhook):
        created = (await cluster.post(WIDGETS, v1())).tree
        assert webhook.asked == []  # the stored version
        read = await cluster.get(f"{V2}/w")
        assert (read.status, read.tree["apiVersion"]) == (200, "example.com/v2")
        assert read.tree["spec"] == {"host": "a", "port": "1", "note": "none"}
        assert read.tree["metadata"] == created["metadata"]
        assert (webhook.asked[0]["desiredAPIVersion"], len(webhook.asked[0]["objects"])) == (
            "example.com/v2",
            1,
        )


async def test_an_object_is_stored_in_the_stored_version(tmp_path: Path) -> None:
    async with cluster_with(tmp_path) as (cluster, _):
        created = await cluster.post(V2, v2())
        assert (created.status, created.tree["spec"]) == (
            201,
            {"host": "b", "port": "2", "note": "none"},
        )
        assert (await cluster.get(f"{WIDGETS}/w")).tree["spec"] == {
            "hostPort": "b:2",
            "note": "none",
        }
        changed = await cluster.patch(f"{V2}/w", {"spec": {"port": "3"}}, MERGE)
        assert (changed.status, changed.tree["spec"]["port"]) == (200, "3")
        assert (await cluster.get(f"{WIDGETS}/w")).tree["spec"]["hostPort"] == "b:3"
        updated = {**changed.tree, "spec": {"host": "c", "port": "4"}}
        assert (await cluster.put(f"{V2}/w", updated)).tree["spec"]["host"] == "c"
        assert (await cluster.delete(f"{V2}/w")).status == 200
        assert (await cluster.get(f"{WIDGETS}/w")).status == 404


async def test_server_side_apply_in_both_versions(tmp_path: Path) -> None:
    async with cluster_with(tmp_path) as (cluster, _):
        path = f"{V2}/w?fieldManager=a"
        applied = await cluster.patch(path, v2(), APPLY)
        assert (applied.status, applied.tree["spec"]["port"]) == (201, "2")
        again = await cluster.patch(path, {**v2(), "spec": {"host": "b", "port": "9"}}, APPLY)
        assert (again.status, again.tree["spec"]["port"]) == (200, "9")
        assert (await cluster.get(f"{WIDGETS}/w")).tree["spec"]["hostPort"] == "b:9"


async def test_a_list_is_converted_in_one_call(tmp_path: Path) -> None:
    async with cluster_with(tmp_path) as (cluster, webhook):
        for index in range(12):
            assert (await cluster.post(WIDGETS, v1(f"w{index:02}", f"h:{index}"))).status == 201
        listed = (await cluster.get(V2)).tree
        assert [one["spec"]["port"] for one in listed["items"]] == [str(n) for n in range(12)]
        assert [len(one["objects"]) for one in webhook.asked] == [12]
        await cluster.patch(f"{WIDGETS}/w03", {"spec": {"hostPort": "x:0"}}, MERGE)
        assert (await cluster.get(V2)).tree["items"][3]["spec"]["host"] == "x"
        assert [len(one["objects"]) for one in webhook.asked] == [12, 1]  # the others are known
        assert (await cluster.delete(V2)).status == 200
        assert (await cluster.get(WIDGETS)).tree["items"] == []


async def test_a_table_and_metadata_of_converted_objects(tmp_path: Path) -> None:
    async with cluster_with(tmp_path) as (cluster, _):
        await cluster.post(WIDGETS, v1())
        table = "application/json;as=Table;v=v1;g=meta.k8s.io"
        found = (await cluster.get(V2, accept=table)).tree
        assert found["rows"][0]["cells"][0] == "w"


async def test_watch_events_are_converted(tmp_path: Path) -> None:
    async with cluster_with(tmp_path) as (cluster, _):
        await cluster.post(WIDGETS, v1("old"))
        watcher = await cluster.watch(f"{V2}?watch=1")
        try:
            first = await watcher.next()
            assert (first["type"], first["object"]["spec"]["host"]) == ("ADDED", "a")
            await cluster.post(WIDGETS, v1("new", "n:5"))
            second = await watcher.next()
            assert (second["object"]["apiVersion"], second["object"]["spec"]["port"]) == (
                "example.com/v2",
                "5",
            )
            await cluster.delete(f"{WIDGETS}/new")
            third = await watcher.next()
            assert (third["type"], third["object"]["spec"]["port"]) == ("DELETED", "5")
        finally:
            await watcher.close()


async def test_a_change_between_reading_and_writing_is_not_lost(tmp_path: Path) -> None:
    async with cluster_with(tmp_path) as (cluster, webhook):
        created = (await cluster.post(WIDGETS, v1())).tree
        stale = (await cluster.get(f"{V2}/w")).tree
        await cluster.patch(f"{WIDGETS}/w", {"spec": {"note": "seen"}}, MERGE)
        answer = await cluster.put(f"{V2}/w", {**stale, "spec": {"host": "z", "port": "1"}})
        assert answer.status == 409
        changed = await cluster.patch(f"{V2}/w", {"spec": {"host": "z"}}, MERGE)
        assert changed.tree["spec"] == {"host": "z", "port": "1", "note": "seen"}
        assert changed.tree["metadata"]["uid"] == created["metadata"]["uid"]
        assert len(webhook.asked) > 2


async def test_labels_and_annotations_are_the_webhooks(tmp_path: Path) -> None:
    def relabel(review: dict[str, Any]) -> None:
        meta = review["response"]["convertedObjects"][0]["metadata"]
        meta["labels"] = {"app": "y"}
        meta["finalizers"] = ["example.com/ignored"]

    async with cluster_with(tmp_path) as (cluster, webhook):
        webhook.change = relabel
        await cluster.post(WIDGETS, v1())
        meta = (await cluster.get(f"{V2}/w")).tree["metadata"]
        assert (meta["labels"], meta.get("finalizers")) == ({"app": "y"}, None)
        assert (await cluster.get(f"{WIDGETS}/w")).tree["metadata"]["labels"] == {"app": "x"}


def _set(*path: Any, value: Any) -> Change:
    def change(review: dict[str, Any]) -> None:
        found = review["response"]
        for step in path[:-1]:
            found = found[step]
        found[path[-1]] = value

    return change


OBJECT = ("convertedObjects", 0)
SUBJECT = "conversion webhook for example.com/v1, Kind=Widget"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_set("uid", value="x"), None),
        (_set("result", value={"status": "Failure", "message": "no way"}), "failed: no way"),
        (_set("result", value={}), "failed: response.result.status was '', not 'Success'"),
        (_set("convertedObjects", value=[]), "returned 0 objects, expected 1"),
        (
            _set(*OBJECT, "apiVersion", value="example.com/v1"),
            "returned invalid object at index 0: invalid groupVersion (expected example.com/v2, "
            "received example.com/v1)",
        ),
        (
            _set(*OBJECT, "kind", value="Gadget"),
            "returned invalid object at index 0: invalid kind (expected Widget, received Gadget)",
        ),
        (
            _set(*OBJECT, "metadata", "name", value="other"),
            "returned invalid object: must have the same name: w != other",
        ),
        (
            _set(*OBJECT, "metadata", "labels", value="x"),
            "returned invalid metadata: invalid metadata.labels of type string in converted object",
        ),
        (
            _set(*OBJECT, "metadata", "labels", value={"a": 1}),
            "returned invalid metadata: metadata.labels[a] must be a string, but is int64 in "
            "converted object",
        ),
    ],
)
async def test_an_answer_that_means_nothing(
    tmp_path: Path, change: Change, text: str | None
) -> None:
    async with cluster_with(tmp_path) as (cluster, webhook):
        webhook.change = change
        await cluster.post(WIDGETS, v1())
        answer = await cluster.get(f"{V2}/w")
        if text is None:
            text = f'failed: expected response.uid="{webhook.asked[0]["uid"]}", got "x"'
        assert (answer.status, answer.message) == (500, f"{SUBJECT} {text}")
        assert "reason" not in answer.tree
        webhook.change = lambda review: None
        assert (await cluster.get(f"{V2}/w")).status == 200


async def test_a_list_names_the_object_that_is_wrong(tmp_path: Path) -> None:
    async with cluster_with(tmp_path) as (cluster, webhook):
        webhook.change = _set("convertedObjects", 1, "metadata", "name", value="other")
        for name in ("a", "b"):
            await cluster.post(WIDGETS, v1(name))
        assert (await cluster.get(V2)).message == (
            "conversion webhook for example.com/v1, Kind=WidgetList returned invalid converted "
            "object at index 1: must have the same name: b != other"
        )


async def test_nothing_is_stored_if_the_webhook_fails(tmp_path: Path) -> None:
    async with cluster_with(tmp_path) as (cluster, webhook):
        webhook.change = _set("result", value={"status": "Failure", "message": "down"})
        answer = await cluster.post(V2, v2())
        assert (answer.status, answer.message) == (
            500,
            "conversion webhook for example.com/v2, Kind=Widget failed: down",
        )
        assert (await cluster.get(WIDGETS)).tree["items"] == []


async def test_a_service_and_a_webhook_that_is_not_there(tmp_path: Path) -> None:
    service = {"namespace": "default", "name": "hooks", "path": "/convert"}
    async with cluster_with(tmp_path, service=service) as (cluster, webhook):
        await cluster.post(WIDGETS, v1())
        assert (await cluster.get(f"{V2}/w")).message == (
            f"{SUBJECT} failed: Service default/hooks cannot be reached: in kubeherd no traffic "
            "goes to Services; use clientConfig.url"
        )
        tree = (await cluster.get(f"{DEFINITIONS}/{NAME}")).tree
        tree["spec"]["conversion"]["webhook"]["clientConfig"] = {"url": webhook.url}
        assert (await cluster.put(f"{DEFINITIONS}/{NAME}", tree)).status == 200
        message = (await cluster.get(f"{V2}/w")).message
        assert message.startswith(f'{SUBJECT} failed: Post "{webhook.url}?timeout=30s": ')
        assert "CERTIFICATE_VERIFY_FAILED" in message


async def test_objects_of_an_older_stored_version(tmp_path: Path) -> None:
    async with cluster_with(tmp_path) as (cluster, _):
        await cluster.post(WIDGETS, v1())
        tree = (await cluster.get(f"{DEFINITIONS}/{NAME}")).tree
        for one in tree["spec"]["versions"]:
            one["storage"] = one["name"] == "v2"
        assert (await cluster.put(f"{DEFINITIONS}/{NAME}", tree)).status == 200
        assert (await cluster.get(f"{V2}/w")).tree["spec"]["host"] == "a"
        assert (await cluster.get(f"{WIDGETS}/w")).tree["spec"]["hostPort"] == "a:1"
        await cluster.patch(f"{WIDGETS}/w", {"spec": {"hostPort": "q:7"}}, MERGE)
        assert (await cluster.get(f"{V2}/w")).tree["spec"]["port"] == "7"


def test_what_is_kept_is_bounded() -> None:
    kept = Kept(limit_bytes=100)
    keys = [("uid", 1, "v2", bytes([number])) for number in range(4)]
    for key in keys[:3]:
        kept.put(key, {"text": "x" * 20})
    assert kept.get(keys[0]) == {"text": "x" * 20}
    kept.put(keys[3], {"text": "x" * 20})
    assert [kept.get(key) is not None for key in keys] == [True, False, True, True]
