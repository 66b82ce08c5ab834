"""metrics.k8s.io, for ``kubectl top``: what nodes and pods use, made when somebody asks.

As with metrics-server there is nothing of a node that is not ready, of its pods, and of pods
without a running container. Annotations say how much it is (`api.helpers.usage`).
"""

from collections.abc import Iterator

from msgspec.structs import replace

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.helpers import usage
from kubeherd.cluster.api.helpers.usage import Usage
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.negotiation import LIST_TYPES, Media, negotiate, unavailable
from kubeherd.cluster.apiserver.handlers import answers
from kubeherd.cluster.apiserver.handlers.reads import list_options
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.apiserver.read import listing
from kubeherd.cluster.store.state import Attrs, Record

WINDOW = "15s"
_NODES, _PODS = kinds.NODES.group_resource, kinds.PODS.group_resource


async def answer(call: Call) -> ApiResponse:
    """The metrics of one node or pod, or of all."""
    return await (_get(call) if call.route.name else _list(call))


async def _get(call: Call) -> ApiResponse:
    """The metrics of one node or pod; NotFound if there are none."""
    route, kind = call.route, call.kind
    found = next(_made(call), None)
    if found is None:
        name = f"{route.namespace}/{route.name}" if route.namespace else route.name
        plural = f"{kind.resource.kind.lower()}.{kind.resource.group}"
        raise errors.NotFound(
            f'{plural} "{name}" not found',
            details={
                "name": name,
                "group": kind.resource.group,
                "kind": kind.resource.kind.lower(),
            },
        )
    return await answers.one(_in_json(call), found.json)


async def _list(call: Call) -> ApiResponse:
    """The metrics of all nodes or pods that the selectors choose."""
    opts = await list_options(call)
    heavy, size_bytes = call.services.heavy, len(call.services.store.list(_PODS)) * 1000
    records = await heavy.run(lambda: list(_made(call)), size_bytes)
    chosen = listing.select(records, opts.label_selector, opts.field_selector)
    return await answers.many(_in_json(call), chosen, {})


def _made(call: Call) -> Iterator[Record]:
    if call.kind.resource is kinds.NODE_METRICS:
        return _of_nodes(call)
    return _of_pods(call)


def _of_nodes(call: Call) -> Iterator[Record]:
    store, name = call.services.store, call.route.name
    for record in store.list(_NODES):
        if name and record.name != name:
            continue
        node = record.load()
        if not _is_ready(node):
            continue
        pods = store.list_on_node(_PODS, record.name)
        used = usage.of_node(
            node, (one for pod in pods for one in usage.of_pod(pod.load()).values())
        )
        yield _record(call, node, {"usage": used.tree()})


def _of_pods(call: Call) -> Iterator[Record]:
    store, route = call.services.store, call.route
    ready: dict[str, bool] = {}
    for record in store.list(_PODS, route.namespace):
        if route.name and record.name != route.name:
            continue
        if record.node_name not in ready:
            node = store.get(_NODES, "", record.node_name)
            ready[record.node_name] = node is not None and _is_ready(node.load())
        if not ready[record.node_name]:
            continue
        pod = record.load()
        used = usage.of_pod(pod)
        if used:
            yield _record(call, pod, {"containers": _containers(used)})


def _containers(used: dict[str, Usage]) -> list[JsonObject]:
    return [{"name": name, "usage": one.tree()} for name, one in used.items()]


def _record(call: Call, source: JsonObject, used: JsonObject) -> Record:
    """The metrics of an object in the form that answers are made from."""
    resource, now = call.kind.resource, format_time(call.services.clock.now())
    meta = source["metadata"]
    shown = {key: meta[key] for key in ("name", "namespace") if key in meta}
    shown["creationTimestamp"] = now
    if labels := meta.get("labels"):
        shown["labels"] = labels
    tree: JsonObject = {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": shown,
        "timestamp": now,
        "window": WINDOW,
        **used,
    }
    fields = {f"metadata.{key}": str(meta.get(key, "")) for key in ("name", "namespace")}
    json = codecs.dumps_json(tree)
    attrs = Attrs(labels or {}, fields)
    return Record(call.kind.key, meta.get("namespace", ""), meta["name"], 0, 0, json, attrs)


def _is_ready(node: JsonObject) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _in_json(call: Call) -> Call:
    """The same call, not answered in protobuf, which these kinds have not here; NotAcceptable if
    the client takes nothing else."""
    if call.negotiated.media is not Media.PROTOBUF:
        return call
    clauses = call.request.headers.get("accept", "").split(",")
    others = ",".join(clause for clause in clauses if "protobuf" not in clause)
    if not others:
        raise unavailable(LIST_TYPES)
    return replace(call, negotiated=negotiate(others))
