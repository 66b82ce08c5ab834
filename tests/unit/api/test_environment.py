"""What a container sees: its host's name and its variables, as a kubelet makes them."""

from typing import Any

import pytest

from kubeherd.cluster.api.helpers import environment
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.remotecommand import script


def pod(env: list[JsonObject] | None = None, name: str = "web-0", **spec: object) -> JsonObject:
    containers = [{"name": "c", "image": "i", "env": env or []}]
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": "u", "labels": {"app": "web"}},
        "spec": {"nodeName": "node-1", "containers": containers, **spec},
        "status": {"podIP": "10.244.0.3"},
    }


def said(tree: JsonObject, *words: str) -> str:
    """What a command in the pod's container writes."""
    around = environment.of_command(tree, tree["spec"]["containers"][0])
    return b"".join(data for _, data in script.reply({}, "c", words, around).output).decode()


@pytest.mark.parametrize(
    ("fields", "short", "full"),
    [
        ({}, "web-0", "web-0"),
        ({"hostname": "own"}, "own", "own"),
        ({"subdomain": "web"}, "web-0", "web-0.web.shop.svc.cluster.local"),
        ({"hostname": "own", "subdomain": "web"}, "own", "own.web.shop.svc.cluster.local"),
        ({"hostNetwork": True, "subdomain": "web"}, "node-1", "node-1"),
        ({"hostnameOverride": "any.name"}, "any.name", "any.name"),
        ({"name": "n" * 62 + "-0"}, "n" * 62, "n" * 62),
    ],
)
def test_host_names(fields: dict[str, Any], short: str, full: str) -> None:
    tree = pod(**fields)
    assert (said(tree, "hostname"), said(tree, "hostname", "-f")) == (f"{short}\n", f"{full}\n")
    assert said(tree, "printenv", "HOSTNAME") == f"{short}\n"


def test_the_whole_name_as_host_name() -> None:
    tree = pod(subdomain="web", setHostnameAsFQDN=True)
    assert said(tree, "hostname") == "web-0.web.shop.svc.cluster.local\n"
    assert said(pod(setHostnameAsFQDN=True), "hostname") == "web-0\n"


def field(name: str, path: str) -> JsonObject:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def test_variables_from_the_pod() -> None:
    tree = pod(
        [
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)-$(NONE)-$$(A)"},
            field("IP", "status.podIP"),
            field("APP", "metadata.labels['app']"),
            field("ABSENT", "metadata.annotations['x']"),
            field("NODE", "spec.nodeName"),
            {"name": "A", "value": "2"},
        ]
    )
    assert said(tree, "env") == (
        f"PATH={environment.PATH}\nHOSTNAME=web-0\nA=2\nB=1-$(NONE)-$(A)\nIP=10.244.0.3\nAPP=web\n"
        "ABSENT=\nNODE=node-1\nHOME=/root\n"
    )
    assert said(tree, "sh", "-c", "echo $APP on ${NODE}") == "web on node-1\n"


def test_what_is_not_in_the_pod_is_not_known() -> None:
    secret = {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    tree = pod([secret, {"name": "T", "value": "$(S)!"}])
    assert said(tree, "printenv", "S") == said(tree, "printenv", "T") == said(tree, "env") == ""
    assert said(tree, "sh", "-c", "echo $OTHER") == ""
