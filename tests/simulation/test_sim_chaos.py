"""The experiment `storm` with several strategies: whatever breaks, promises hold, and all heals."""

import copy
import os

import pytest
from msgspec.structs import replace

from kubeherd.chaos import report, running
from kubeherd.chaos.experiment import Do, Experiment, Patch

STRATEGIES = (
    {"maxUnavailable": 1},
    {"maxUnavailable": "60%"},
    {"maxSurge": 2, "maxUnavailable": 0},
)
DELAY = {"kubeherd.io/ready-delay-seconds": "0.5"}
SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "3")))
"""A longer search: ``KUBEHERD_SIM_SEEDS=500 pytest tests/simulation/test_sim_chaos.py``."""


def storm(seed: int) -> Experiment:
    """With another strategy for every seed, and pods that take a while to be ready."""
    experiment = running.find("storm")
    workload = copy.deepcopy(list(experiment.workload))
    daemonset = next(tree for tree in workload if tree["kind"] == "DaemonSet")
    daemonset["spec"]["updateStrategy"]["rollingUpdate"] = STRATEGIES[seed % len(STRATEGIES)]
    daemonset["spec"]["template"]["metadata"]["annotations"] = DELAY
    return replace(experiment, workload=workload)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_heals(seed: int) -> None:
    outcome = running.simulate(storm(seed), seed)
    assert outcome.passed, "\n".join([*outcome.done, *report.text(outcome, "this test")])
    checked = {one.name for one in outcome.verdict.checked if one.looked_at}
    assert {"daemonset-one-pod-per-node", "daemonset-budget", "daemonsets-settle"} <= checked


def test_a_cluster_that_does_not_heal_is_told() -> None:
    """The checks themselves: an image that cannot be pulled is never rolled out."""
    experiment = storm(0)
    containers = [{"name": "main", "image": "nonexistent:1"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    step = Do(at_s=1.0, patch=Patch(kind="DaemonSet", name="agent", patch=patch))
    hopeless = replace(experiment, steps=(step,), random=(), duration_s=9.0, heals_within_s=30.0)
    outcome = running.simulate(hopeless, 1)
    assert {one.promise for one in outcome.verdict.violations} == {"daemonsets-settle"}
