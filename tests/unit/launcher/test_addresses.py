"""Where the API server listens, and by which address others find it."""

import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kubeherd.cluster.launcher import addresses, lifecycle, plan
from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import ClusterOptions, Settings


def made(**given: Any) -> Settings:
    return lifecycle.new_settings(ClusterOptions(**given), nodes=0, port=7001, seed=1)


def test_nobody_beyond_this_machine_reaches_a_cluster_that_does_not_ask_for_it() -> None:
    settings = made()
    assert (settings.listen, settings.is_exposed) == ("127.0.0.1", False)
    assert settings.server == settings.public_server == "https://127.0.0.1:7001"
    assert "--bind-address" not in plan.api_servers(settings, RunDir(Path("x")))[0].args


@pytest.mark.parametrize(
    ("given", "server", "public", "certified"),
    [
        ({"listen": "10.0.0.5"}, "10.0.0.5", "10.0.0.5", ("10.0.0.5",)),
        ({"listen": "fd00::5"}, "[fd00::5]", "[fd00::5]", ("fd00::5",)),
        ({"listen": "0.0.0.0"}, "127.0.0.1", "10.0.0.9", ("127.0.0.1", "10.0.0.9")),
        ({"listen": "::", "advertise_address": "herd.example", "cert_sans": ("a.example",)},
         "127.0.0.1", "herd.example", ("127.0.0.1", "herd.example", "a.example")),
    ],
)  # fmt: skip
def test_who_finds_it_where(
    given: dict[str, object],
    server: str,
    public: str,
    certified: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "of_this_machine", lambda: "10.0.0.9")
    settings = lifecycle.located(made(**given))
    assert settings.is_exposed
    assert settings.server == f"https://{server}:7001"
    assert settings.public_server == f"https://{public}:7001"
    assert settings.certified == certified
    args = plan.api_servers(settings, RunDir(Path("x")))[0].args
    assert args[args.index("--bind-address") + 1] == given["listen"]
    assert settings_module.decode(settings_module.encode(settings)) == settings


def test_an_address_that_was_found_is_forgotten_with_the_wildcard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "of_this_machine", lambda: "10.0.0.9")
    found = lifecycle.located(made(listen="0.0.0.0"))
    assert found.found_address == "10.0.0.9"
    assert lifecycle.located(msgspec.structs.replace(found, listen="::1")) == made(listen="::1")


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.256", "10.0.0.1:80", "[::1]"])
def test_where_nothing_can_listen(text: str) -> None:
    with pytest.raises(LauncherError, match=r"cannot listen on .*: give an IP address"):
        addresses.check_listen(text)


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "224.0.0.1", "a_b", "https://a", "1.2.3", "A b"])
def test_what_names_no_server(text: str) -> None:
    with pytest.raises(LauncherError):
        addresses.check_host(text)
    with pytest.raises(LauncherError):
        settings_module.check(made(cert_sans=(text,)))


def test_a_start_says_why_it_cannot_listen(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "herd")
    with pytest.raises(LauncherError, match=r"^192\.0\.2\.99 is no address of this machine"):
        lifecycle.begin(rundir, made(listen="192.0.2.99"))
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        settings = msgspec.structs.replace(made(listen="127.0.0.2"), port=port)
        with pytest.raises(LauncherError, match=rf"^port {port} of 127\.0\.0\.2 is in use"):
            lifecycle.begin(rundir, settings)
    assert not rundir.root.exists()
