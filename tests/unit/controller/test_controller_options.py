"""The flags of the controller manager's process (controller/options.py)."""

from pathlib import Path

import pytest

from kubeherd.cluster.api.version import PRODUCT
from kubeherd.controller import options
from kubeherd.controller.leader import KUBE_CONTROLLER_MANAGER, Election
from kubeherd.controller.options import Options


def parsed(*flags: str) -> Options:
    return options.parse(["--kubeconfig", "file", *flags])


def test_without_flags_as_kube_controller_manager_without_flags() -> None:
    given = parsed()
    assert given.election == KUBE_CONTROLLER_MANAGER
    assert (given.use_accounts, given.portable, given.root_ca_pem) == (False, False, b"")


@pytest.mark.parametrize("flag", ["--leader-elect=false", "--leader-elect=F", "--leader-elect=0"])
def test_without_an_election_nobody_is_asked(flag: str) -> None:
    assert parsed(flag).election is None


def test_the_terms_of_the_election() -> None:
    given = parsed(
        "--leader-elect",
        "--leader-elect-resource-name=mine",
        "--leader-elect-resource-namespace=ours",
        "--leader-elect-resource-lock=leases",
        "--leader-elect-lease-duration=1m30s",
        "--leader-elect-renew-deadline=1m",
        "--leader-elect-retry-period=1.5s",
    )
    assert given.election == Election("ours", "mine", 90, 60, 1.5)


def test_a_fast_clock_leaves_time_to_renew() -> None:
    assert parsed("--speed=3").election == KUBE_CONTROLLER_MANAGER
    stretched = parsed("--speed=20").election
    assert stretched
    assert stretched.renew_deadline_s / 20 == 3, "real seconds"
    stretched.check()


def test_a_lone_scheduler_does_not_exclude_a_kube_controller_manager() -> None:
    assert (given := parsed("--controllers=scheduler").election)
    assert given.name == "kube-scheduler"
    assert (given := parsed("--controllers=scheduler,daemonset-controller").election)
    assert given.name == "kube-controller-manager"
    assert (given := parsed("--controllers=scheduler", "--leader-elect-resource-name=x").election)
    assert given.name == "x"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--leader-elect=yes", 'invalid boolean value "yes"'),
        ("--leader-elect-retry-period=2", 'time: missing unit in duration "2"'),
        ("--leader-elect-retry-period=s", 'time: invalid duration "s"'),
        ("--leader-elect-retry-period=2s3", 'time: missing unit in duration "2s3"'),
        ("--leader-elect-lease-duration=9s", "leaseDuration must be greater than renewDeadline"),
        ("--leader-elect-lease-duration=0", "leaseDuration and retryPeriod must be greater than"),
        ("--leader-elect-retry-period=9s", "must be greater than retryPeriod*JitterFactor"),
        ("--leader-elect-resource-lock=endpoints", "invalid choice"),
        ("--controllers=nonsense", '"nonsense" is not in the list of known controllers'),
        ("--root-ca-file=/nowhere/ca.crt", "error parsing root-ca-file at /nowhere/ca.crt"),
    ],
)
def test_what_makes_no_sense_ends_the_start(
    flag: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(flag)
    assert message in capsys.readouterr().err


def test_a_root_ca_that_is_no_certificate_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("no certificate")
    with pytest.raises(SystemExit):
        parsed("--root-ca-file", str(file))
    assert f"error parsing root-ca-file at {file}" in capsys.readouterr().err


def test_durations_of_go() -> None:
    texts = ("15s", "1m30s", "2h", "300ms", "1.5s", ".5m", "0")
    assert [options.go_duration_s(text) for text in texts] == [15, 90, 7200, 0.3, 1.5, 30, 0]


def test_each_of_several_managers_says_which_it_is() -> None:
    second = parsed("--faults-socket=/x/controller-manager-2.faults").user_agent
    assert second == f"{PRODUCT} controller-manager-2"
    assert parsed().user_agent == f"{PRODUCT} controller-manager"
