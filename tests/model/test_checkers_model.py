"""The rules that checkers and controllers each have for themselves say the same.

Neither may import the other, so that a mistake in one is not a mistake in both; here they meet.
"""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.checks.objects import target_node
from kubeherd.checks.placement import daemon_fit, may_be_bound
from kubeherd.checks.safety.daemonsetbudget import max_unavailable
from kubeherd.checks.safety.daemonsets import surge_of
from kubeherd.checks.safety.replicas import rollout_limits
from kubeherd.cluster.api.helpers.scheduling import (
    first_untolerated,
    matches_node,
    target_node_name,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import DaemonSet, Node, Pod
from kubeherd.controller.daemonset.limits import allows_surge, surge_and_unavailable
from kubeherd.controller.daemonset.nodes import NodeRule
from kubeherd.controller.deployment import limits
from kubeherd.controller.workload.apps import Deployment

KEYS = st.sampled_from(
    ["zone", "gpu", "node.kubernetes.io/not-ready", "node.kubernetes.io/unschedulable"]
)
VALUES = st.sampled_from(["a", "b", "3", "7", ""])
NAMES = st.sampled_from(["n1", "n2"])
EFFECTS = st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule"])

taints = st.fixed_dictionaries({"key": KEYS, "value": VALUES, "effect": EFFECTS})
nodes = st.builds(
    lambda name, labels, taints: {
        "metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}
    },
    NAMES, st.dictionaries(KEYS, VALUES, max_size=2), st.lists(taints, max_size=2),
)  # fmt: skip
tolerations = st.one_of(
    st.fixed_dictionaries(
        {"key": KEYS, "operator": st.just("Exists")}, optional={"effect": EFFECTS}
    ),
    st.fixed_dictionaries({"key": KEYS, "value": VALUES}, optional={"effect": EFFECTS}),
    st.just({"operator": "Exists"}),
)
expressions = st.one_of(
    st.fixed_dictionaries(
        {"key": KEYS, "operator": st.sampled_from(["In", "NotIn"]),
         "values": st.lists(VALUES, min_size=1, max_size=2)}
    ),
    st.fixed_dictionaries({"key": KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
    st.fixed_dictionaries(
        {"key": KEYS, "operator": st.sampled_from(["Gt", "Lt"]),
         "values": st.lists(st.sampled_from(["2", "5"]), min_size=1, max_size=1)}
    ),
)  # fmt: skip
fields = st.fixed_dictionaries(
    {"key": st.just("metadata.name"), "operator": st.sampled_from(["In", "NotIn"]),
     "values": st.lists(NAMES, min_size=1, max_size=1)}
)  # fmt: skip
terms = st.fixed_dictionaries(
    {}, optional={"matchExpressions": st.lists(expressions, max_size=2),
                  "matchFields": st.lists(fields, max_size=1)}
)  # fmt: skip
affinities = st.lists(terms, max_size=2).map(
    lambda found: {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": found}
        }
    }
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "nodeName": NAMES, "nodeSelector": st.dictionaries(KEYS, VALUES, max_size=1),
        "affinity": affinities, "tolerations": st.lists(tolerations, max_size=2),
        "hostNetwork": st.booleans(),
    },
)  # fmt: skip
amounts = st.one_of(st.integers(0, 4), st.sampled_from(["0%", "1%", "25%", "50%", "100%"]))


@given(specs, nodes)
def test_where_daemon_pods_run(spec: JsonObject, node: JsonObject) -> None:
    decision = NodeRule({"spec": spec}).decide(msgspec.convert(node, Node))
    fit = daemon_fit({"spec": spec}, node)
    assert (fit.should_run, fit.may_stay) == (decision.should_run, decision.should_continue)


@given(specs, nodes)
def test_where_pods_may_be_bound(spec: JsonObject, node: JsonObject) -> None:
    pod, where = msgspec.convert({"spec": spec}, Pod), msgspec.convert(node, Node)
    untolerated = first_untolerated(where.spec.taints, pod.spec.tolerations)
    allowed = matches_node(pod.spec, where) and untolerated is None
    assert may_be_bound({"spec": spec}, node) == allowed


@given(specs)
def test_for_which_node_a_pod_is(spec: JsonObject) -> None:
    assert target_node({"spec": spec}) == (
        spec.get("nodeName") or target_node_name(msgspec.convert({"spec": spec}, Pod))
    )


@given(amounts, amounts, st.integers(0, 9))
def test_how_many_nodes_may_be_unavailable(away: int | str, surge: int | str, nodes: int) -> None:
    update = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": away, "maxSurge": surge}}
    tree = {"spec": {"updateStrategy": update}}
    daemonset = msgspec.convert(tree, DaemonSet)
    assert surge_of(tree) == allows_surge(daemonset)
    if nodes:
        assert max_unavailable(tree, nodes) == surge_and_unavailable(daemonset, nodes)[1]


@given(amounts, amounts, st.integers(0, 9), st.sampled_from(["RollingUpdate", "Recreate"]))
def test_how_far_a_rollout_goes(
    away: int | str, surge: int | str, replicas: int, type_: str
) -> None:
    strategy = {"type": type_, "rollingUpdate": {"maxUnavailable": away, "maxSurge": surge}}
    tree = {"spec": {"replicas": replicas, "strategy": strategy}}
    deployment = msgspec.convert(tree, Deployment)
    least, most = rollout_limits(tree)
    assert least == limits.min_available(deployment)
    if type_ == "RollingUpdate":
        assert most == limits.max_replicas(deployment)
