"""The same story with every Python client: `client_story` tells it, `story_clients` adapts them."""

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import client_story
import kubernetes
import lightkube
import pytest
from client_story import StoryClient, Webhook
from story_clients import Kr8s, Kubernetes, KubernetesAsyncio, Lightkube

import kubeherd
from kubeherd.cluster.launcher.pki import Authority
from kubeherd.pytest_plugin.clusters import Clusters

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("forgotten_clients"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # some clients cannot be closed
    pytest.mark.filterwarnings("ignore:Kubernetes version v1.36"),  # newer than kr8s knows
]


@pytest.fixture(scope="module")
def cluster(kubeherd_factory: Clusters) -> Iterator[kubeherd.Cluster]:
    with kubeherd_factory(nodes=1, speed=1) as cluster:
        yield cluster


class Censor(BaseHTTPRequestHandler):
    """Refuses ConfigMaps with the key `forbidden`."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review.pop("request")
        allowed = "forbidden" not in (request["object"].get("data") or {})
        status = {} if allowed else {"status": {"code": 403, "message": "not that word"}}
        review["response"] = {"uid": request["uid"], "allowed": allowed, **status}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture(scope="module")
def webhook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    authority = Authority.create()
    pair = authority.issue_server()
    files = Path(tmp_path_factory.mktemp("censor"))
    (files / "crt").write_bytes(pair.certificate)
    (files / "key").write_bytes(pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files / "crt", files / "key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Censor) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        bundle = base64.b64encode(authority.certificate_pem).decode()
        yield Webhook(f"https://127.0.0.1:{server.server_port}/", bundle)
        server.shutdown()
        thread.join()


@asynccontextmanager
async def story_client(
    library: str, kubeconfig: Path, namespace: str
) -> AsyncIterator[StoryClient]:
    """The adapter of a library, with a client that is closed afterwards where it can be."""
    match library:
        case "kubernetes":
            with kubernetes.config.new_client_from_config(str(kubeconfig)) as api_client:
                yield Kubernetes(api_client, namespace)
        case "kubernetes_asyncio":
            async with await kubeherd.clients.kubernetes_asyncio(kubeconfig) as api_client:
                yield KubernetesAsyncio(api_client, namespace)
        case "kr8s":
            yield Kr8s(await kubeherd.clients.kr8s_async(kubeconfig), namespace)
        case _:
            config = lightkube.KubeConfig.from_file(kubeconfig)
            client = lightkube.AsyncClient(config, namespace=namespace)
            try:
                yield Lightkube(client, namespace)
            finally:
                await client.close()


@pytest.mark.parametrize("library", ["kubernetes", "kubernetes_asyncio", "kr8s", "lightkube"])
async def test_story(cluster: kubeherd.Cluster, webhook: Webhook, library: str) -> None:
    namespace = library.replace("_", "-")
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await asyncio.to_thread(cluster.apply, made)
    async with story_client(library, Path(cluster.kubeconfig), namespace) as client:
        await client_story.story(client, webhook)
