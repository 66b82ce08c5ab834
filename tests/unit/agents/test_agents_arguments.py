"""The command line of an agent process: what it takes, and what it says of what it does not."""

import pytest

from kubeherd.agents import arguments
from kubeherd.cluster.api.objects import Taint

GOOD = ["--node", "a", "--kubeconfig-dir", "configs"]


def test_nodes_have_what_is_given_for_all_of_them() -> None:
    options = arguments.parse([
        *GOOD, "--node", "b", "--label", "zone=z1", "--label", "empty=", "--annotation", "n=x=y",
        "--taint", "dedicated=db:NoSchedule", "--taint", "alone:NoExecute", "--cpu", "2",
        "--memory", "1Gi", "--pods", "5",
    ])  # fmt: skip
    assert options.nodes == ["a", "b"]
    config = arguments.node_config(options, "b")
    assert (config.name, config.cpu, config.memory, config.pods) == ("b", "2", "1Gi", 5)
    assert (config.labels, config.annotations) == ({"zone": "z1", "empty": ""}, {"n": "x=y"})
    assert config.taints == (
        Taint(key="dedicated", value="db", effect="NoSchedule"),
        Taint(key="alone", value="", effect="NoExecute"),
    )


def test_two_parses_share_nothing() -> None:
    arguments.parse([*GOOD, "--label", "a=b"])
    assert arguments.parse(GOOD).labels == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "--node"),
        (["--node", "a"], "--kubeconfig-dir --fleet-kubeconfig is required"),
        ([*GOOD, "--fleet-kubeconfig", "f"], "not allowed with argument --kubeconfig-dir"),
        ([*GOOD, "--label", "zone"], "'zone' is not of the form key=value"),
        ([*GOOD, "--annotation", "=x"], "'=x' is not of the form key=value"),
        ([*GOOD, "--taint", "a=b"], "'a=b' is not of the form key[=value]:Effect"),
        ([*GOOD, "--taint", "a=b:Never"], "'a=b:Never' is not of the form"),
        ([*GOOD, "--pods", "0"], "'0' is not between 1 and"),
        ([*GOOD, "--pods", "many"], "'many' is not between 1 and"),
        ([*GOOD, "--speed", "0"], "'0' is not a number of at least 0.001"),
        ([*GOOD, "--speed", "nan"], "'nan' is not a number"),
        ([*GOOD, "--seed", "x"], "invalid int value: 'x'"),
    ],
)
def test_what_is_wrong_is_said_and_ends_it_with_2(
    wrong: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.parse(wrong)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
