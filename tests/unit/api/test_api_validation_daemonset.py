"""DaemonSet and ControllerRevision: the rules and the words of Kubernetes."""

import copy
from typing import Any

import pytest

from kubeherd.cluster.api import defaults, errors, kinds, validation


def daemon_set(**spec: Any) -> dict[str, Any]:
    labels = {"name": "fluentd-elasticsearch"}
    tree: dict[str, Any] = {
        "metadata": {"name": "fluentd-elasticsearch", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {"containers": [{"name": "c", "image": "i:1"}]},
            },
            **spec,
        },
    }
    defaults.apply(kinds.DAEMONSETS, tree)
    return tree


def shown(causes: list[errors.Cause]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in causes]


def create(tree: dict[str, Any]) -> list[str]:
    return shown(validation.create(kinds.DAEMONSETS, tree))


def rolling(**fields: Any) -> dict[str, Any]:
    return daemon_set(updateStrategy={"rollingUpdate": fields})


ROLLING = "spec.updateStrategy.rollingUpdate"
PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
    "'93%', regex used for validation is '[0-9]+%')"
)


def test_a_good_one() -> None:
    assert create(daemon_set()) == []
    assert create(daemon_set(updateStrategy={"type": "OnDelete"})) == []


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"maxUnavailable": 0},
         [f"{ROLLING}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"]),
        ({"maxUnavailable": "0%"},
         [f"{ROLLING}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"]),
        ({"maxUnavailable": 1, "maxSurge": 1},
         [f"{ROLLING}.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"]),
        ({"maxUnavailable": 0, "maxSurge": "10%"}, []),
        ({"maxUnavailable": "100%"}, []),
        ({"maxUnavailable": "101%"},
         [f'{ROLLING}.maxUnavailable: Invalid value: "101%": must not be greater than 100%']),
        ({"maxUnavailable": -1},
         [f"{ROLLING}.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"]),
        ({"maxSurge": "x"}, [f'{ROLLING}.maxSurge: Invalid value: "x": {PERCENT}']),
    ],
)  # fmt: skip
def test_bounds_of_a_rolling_update(fields: dict[str, Any], problems: list[str]) -> None:
    assert create(rolling(**fields)) == problems


@pytest.mark.parametrize(
    ("spec", "problems"),
    [
        ({"updateStrategy": {"type": "Never"}},
         ['spec.updateStrategy: Unsupported value: {"Type":"Never",'
          '"RollingUpdate":null}: supported values: '
          '"RollingUpdate", "OnDelete"']),
        ({"minReadySeconds": -1},
         ["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"]),
        ({"revisionHistoryLimit": -2},
         ["spec.revisionHistoryLimit: Invalid value: -2: must be greater than or equal to 0"]),
        ({"selector": {}},
         ["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"]),
        ({"selector": None},
         ['spec.template.metadata.labels: Invalid value: {"name":"fluentd-elasticsearch"}: '
          "`selector` does not match template `labels`"]),
    ],
)  # fmt: skip
def test_refused_specs_of_daemon_sets(spec: dict[str, Any], problems: list[str]) -> None:
    assert create(daemon_set(**spec)) == problems


def test_selector_must_match_the_template() -> None:
    assert create(daemon_set(selector={"matchLabels": {"a": "b"}})) == [
        'spec.template.metadata.labels: Invalid value: {"name":"fluentd-elasticsearch"}: '
        "`selector` does not match template `labels`"
    ]


def test_an_unknown_selector_operator_is_refused() -> None:
    expression = {"key": "name", "operator": "Near", "values": ["x"]}
    assert create(daemon_set(selector={"matchExpressions": [expression]}))[0] == (
        'spec.selector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector '
        "operator"
    )


def test_template_of_daemons() -> None:
    tree = daemon_set()
    tree["spec"]["template"]["spec"] |= {"restartPolicy": "Never", "activeDeadlineSeconds": 5}
    assert create(tree) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet "
        "is not Supported",
    ]


def test_the_selector_is_immutable() -> None:
    old = daemon_set()
    old["metadata"]["resourceVersion"] = "1"
    new = copy.deepcopy(old)
    new["spec"]["selector"]["matchLabels"]["name"] = "other"
    causes = validation.update(kinds.DAEMONSETS, new, old)
    assert errors.invalid("apps", "DaemonSet", "fluentd-elasticsearch", causes).message == (
        'DaemonSet.apps "fluentd-elasticsearch" is invalid: [spec.selector: Invalid value: '
        '{"matchLabels":{"name":"other"}}: field is immutable, spec.template.metadata.labels: '
        'Invalid value: {"name":"fluentd-elasticsearch"}: `selector` does not match template '
        "`labels`]"
    )
    new = copy.deepcopy(old)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2"
    assert validation.update(kinds.DAEMONSETS, new, old) == []


def test_numbers_of_a_status_are_not_negative_and_collisions_not_fewer() -> None:
    old = daemon_set()
    old["metadata"]["resourceVersion"] = "1"
    old["status"]["collisionCount"] = 2
    new = copy.deepcopy(old)
    new["status"] |= {"numberReady": -1, "collisionCount": 1}
    assert shown(validation.update(kinds.DAEMONSETS, new, old, "status")) == [
        "status.numberReady: Invalid value: -1: must be greater than or equal to 0",
        "status.collisionCount: Invalid value: 1: cannot be decremented",
    ]
    del new["status"]["collisionCount"]
    new["status"]["numberReady"] = 0
    assert len(validation.update(kinds.DAEMONSETS, new, old, "status")) == 1


REVISION: dict[str, Any] = {
    "metadata": {"name": "x", "namespace": "default", "resourceVersion": "1"},
    "data": {"spec": {}},
    "revision": 1,
}


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({}, []),
        ({"data": None}, ["data: Required value: data is mandatory"]),
        ({"data": []}, ["data: Required value: data must be a valid JSON object"]),
        ({"revision": -1}, ["revision: Invalid value: -1: must be greater than or equal to 0"]),
    ],
)
def test_refused_controller_revisions(change: dict[str, Any], problems: list[str]) -> None:
    tree = {**REVISION, **change}
    assert shown(validation.create(kinds.CONTROLLERREVISIONS, tree)) == problems


def test_the_data_of_a_revision_is_immutable_its_number_is_not() -> None:
    resource = kinds.CONTROLLERREVISIONS
    assert validation.update(resource, {**REVISION, "revision": 2}, REVISION) == []
    assert shown(validation.update(resource, {**REVISION, "data": {}}, REVISION)) == [
        "data: Invalid value: {}: field is immutable"
    ]
