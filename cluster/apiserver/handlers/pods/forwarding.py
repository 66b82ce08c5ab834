"""port-forward to a pod: what is looked at first, and who answers.

Source: Kubernetes v1.36, pkg/registry/core/pod/strategy.go (PortForwardLocation) and
pkg/kubelet/kubelet_pods.go (GetPortForward).
"""

from functools import partial
from urllib.parse import parse_qs

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.helpers import podtarget
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge.messages import Upgrade, UpgradeResponse
from kubeherd.cluster.apiserver.handlers.pods import upgrades
from kubeherd.cluster.apiserver.handlers.services import Call


async def forward(call: Call) -> UpgradeResponse:
    """Forward ports: the conversations take over the connection."""
    asked = parse_qs(call.request.raw_query).get("ports", ())
    options: JsonObject = {"ports": [int(one) for one in asked if one.isdecimal()]}
    pod = await upgrades.target(call, "PodPortForwardOptions", options)
    upgrades.check_host(pod)
    metadata, status = pod["metadata"], pod.get("status") or {}
    if status.get("phase") != "Running":
        where = f"{metadata['name']}_{metadata['namespace']}"
        raise errors.BadRequest(f'unable to upgrade connection: pod not found ("{where}")')
    for entry in status.get("containerStatuses") or ():
        podtarget.check_ours(pod, entry)
    upgrade = upgrades.wanted(call)
    # What belongs to open sessions is loaded by the first one.
    from kubeherd.cluster.api.remotecommand import channels  # noqa: PLC0415
    from kubeherd.cluster.apiserver.streams import (  # noqa: PLC0415
        answers,
        forwarding,
        portscript,
        tunnel,
    )

    converse = answers.converse(call, pod)
    through_tunnel = partial(tunnel.serve, converse=converse)
    if upgrade is Upgrade.SPDY:
        upgrades.check_stream_protocol(call, tunnel.STREAM_PROTOCOL)
        return UpgradeResponse(through_tunnel, tunnel.STREAM_PROTOCOL, upgrade)
    offered = call.request.headers.get("sec-websocket-protocol", "")
    if tunnel.PROTOCOL in offered:
        return UpgradeResponse(through_tunnel, tunnel.PROTOCOL)
    values = parse_qs(call.request.raw_query, keep_blank_values=True)
    ports = portscript.ports([*values.get("ports", ()), *values.get("port", ())])
    protocol = channels.choose(offered)
    serve = partial(forwarding.serve, protocol=protocol, ports=ports, converse=converse)
    return UpgradeResponse(serve, protocol)
