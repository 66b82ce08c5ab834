"""The requests whose cost is measured, as kubeherd's own components and a person send them."""

import sys
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final

import msgspec
import orjson

from kubeherd.bench.wire import JSON, message
from kubeherd.cluster.api.jsontypes import JsonObject

LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_PODS: Final = "/api/v1/namespaces/default/pods"
_EVENTS: Final = "/api/v1/namespaces/default/events"
AGENT: Final = "User-Agent: costs/1\r\n"
STRATEGIC: Final = "application/strategic-merge-patch+json"


class Request(msgspec.Struct, frozen=True):
    """One request: what it asks of the server."""

    verb: str
    path: str
    body: JsonObject | None = None
    content_type: str = JSON

    def bytes_for(self, host: str, headers: str = "") -> bytes:
        """As it goes over the wire."""
        body = b"" if self.body is None else orjson.dumps(self.body)
        return message(self.verb, self.path, host, body, self.content_type, AGENT + headers)


class Who(Enum):
    """Whose identity sends a request."""

    PERSON = auto()
    CONTROLLER = auto()
    """A controller with the token of its own account."""
    SCHEDULER = auto()
    KUBELET = auto()
    """An agent process with many nodes."""


class Kind(msgspec.Struct, frozen=True):
    """A kind of request. `make` gives the n-th one."""

    name: str
    by: Who
    make: Callable[[int], Request]
    batched: bool = False


def _pod(number: int) -> JsonObject:
    """As the DaemonSet controller makes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"costs-{number}",
            "labels": {
                "app": "costs",
                "controller-revision-hash": "0",
                "pod-template-generation": "1",
            },
        },
        "spec": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {
                                "matchFields": [
                                    {
                                        "key": "metadata.name",
                                        "operator": "In",
                                        "values": [f"node-{number}"],
                                    }
                                ]
                            }
                        ]
                    }
                }
            },
            "containers": [{"name": "main", "image": "b:1"}],
            "tolerations": [
                {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
                for key, effect in (
                    ("not-ready", "NoExecute"),
                    ("unreachable", "NoExecute"),
                    ("disk-pressure", "NoSchedule"),
                    ("memory-pressure", "NoSchedule"),
                    ("pid-pressure", "NoSchedule"),
                    ("unschedulable", "NoSchedule"),
                )
            ],
        },
    }


def _binding(number: int) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": f"costs-{number}"},
        "target": {"kind": "Node", "name": f"node-{number}"},
    }


def _status(second: int) -> JsonObject:
    moment = f"2026-01-01T00:00:{second % 60:02}Z"
    return {
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}],
            "startTime": moment,
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": moment}
                for kind in ("Initialized", "Ready", "ContainersReady")
            ],
            "containerStatuses": [
                {
                    "name": "main",
                    "image": "b:1",
                    "imageID": "b:1",
                    "containerID": "fake://1",
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": moment}},
                }
            ],
        }
    }


def _lease(number: int, second: int) -> JsonObject:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": f"costs-{number}", "namespace": "kube-node-lease"},
        "spec": {
            "holderIdentity": f"node-{number}",
            "leaseDurationSeconds": 40,
            "renewTime": f"2026-01-01T00:00:{second % 60:02}.000000Z",
        },
    }


def _event(number: int) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"costs.{number}", "namespace": "default"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": f"costs-{number}"},
        "reason": "SuccessfulCreate",
        "message": "Created pod: costs",
        "type": "Normal",
        "count": 1,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "daemonset-controller"},
    }


def kinds(leases: Mapping[str, JsonObject]) -> tuple[Kind, ...]:
    """In an order in which each finds what it needs; `leases`: the newest version of each, which
    who renews it sends back, as a kubelet does."""
    second = iter(range(sys.maxsize))

    def status(number: int) -> Request:
        return Request("PATCH", f"{at(_PODS, number)}/status", _status(next(second)), STRATEGIC)

    def renew(number: int) -> Request:
        sent = _lease(number, next(second))
        held = leases[f"costs-{number}"]
        renewed = {**held["spec"], "renewTime": sent["spec"]["renewTime"]}
        tree = {**sent, "metadata": held["metadata"], "spec": renewed}
        return Request("PUT", at(LEASES, number), tree)

    def at(path: str, number: int) -> str:
        return f"{path}/costs-{number}"

    return (
        Kind("POST pods", Who.CONTROLLER, lambda n: Request("POST", _PODS, _pod(n))),
        Kind(
            "POST pods/binding",
            Who.SCHEDULER,
            lambda n: Request("POST", f"{at(_PODS, n)}/binding", _binding(n)),
        ),
        Kind("PATCH pods/status", Who.KUBELET, status),
        Kind("PATCH pods/status, batched", Who.KUBELET, status, batched=True),
        Kind("POST leases", Who.KUBELET, lambda n: Request("POST", LEASES, _lease(n, 0))),
        Kind("PUT leases", Who.KUBELET, renew),
        Kind("PUT leases, batched", Who.KUBELET, renew, batched=True),
        Kind("POST events", Who.CONTROLLER, lambda n: Request("POST", _EVENTS, _event(n))),
        Kind("GET pods", Who.PERSON, lambda n: Request("GET", at(_PODS, n))),
        Kind("LIST pods, 100", Who.PERSON, lambda _: Request("GET", f"{_PODS}?limit=100")),
        Kind("DELETE pods", Who.CONTROLLER, lambda n: Request("DELETE", at(_PODS, n), _now())),
    )


def _now() -> JsonObject:
    return {"gracePeriodSeconds": 0}
