"""A node that stands in for one of another cluster shows what that one had, from its start on."""

from kubeherd.agents.node import nodestatus
from kubeherd.agents.node.nodestatus import NodeConfig, NodeIdentity
from kubeherd.cluster.api.helpers.nodestandin import ANNOTATION, stand_in

IDENTITY = NodeIdentity(pod_cidr="10.244.0.0/24", ip="10.0.0.16", boot_id="b")
ARM = {"kubernetes.io/arch": "arm64", "kubernetes.io/hostname": "short"}


def test_its_labels_stay_and_those_that_are_missing_are_made():
    config = NodeConfig(name="n")
    noted = {ANNOTATION: stand_in({}), nodestatus.CIDR_ANNOTATION: IDENTITY.pod_cidr}
    noted |= nodestatus.MANAGED_ATTACH
    missing = nodestatus.reconcile_patch(config, IDENTITY, ARM, noted)["labels"]
    assert missing["kubernetes.io/os"] == "linux"
    assert ARM.keys().isdisjoint(missing)


def test_a_node_of_our_own_gets_the_labels_of_a_kubelet():
    patch = nodestatus.reconcile_patch(NodeConfig(name="n"), IDENTITY, ARM, {})
    assert patch["labels"]["kubernetes.io/arch"] == "amd64"
    assert patch["labels"]["kubernetes.io/hostname"] == "n"
