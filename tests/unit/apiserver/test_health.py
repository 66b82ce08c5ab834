"""/healthz, /livez and /readyz: the checks and words of a kube-apiserver."""

from apicluster import Cluster


async def lines(cluster: Cluster, path: str) -> tuple[int, list[str]]:
    answer = await cluster.get(path)
    return answer.status, answer.raw.decode().split("\n")


async def test_readiness_has_checks_that_liveness_has_not(cluster: Cluster) -> None:
    status, ready = await lines(cluster, "/readyz?verbose")
    assert status == 200
    assert ready[:5] == [
        "[+]ping ok", "[+]log ok", "[+]etcd ok", "[+]etcd-readiness ok", "[+]informer-sync ok",
    ]  # fmt: skip
    assert ready[-3:] == ["[+]shutdown ok", "readyz check passed", ""]
    assert "[+]poststarthook/rbac/bootstrap-roles ok" in ready
    assert "[+]poststarthook/storage-readiness ok" in ready  # a default feature since v1.36
    _, alive = await lines(cluster, "/livez?verbose")
    assert {*ready} - {*alive} == {
        "[+]etcd-readiness ok", "[+]informer-sync ok", "[+]shutdown ok", "readyz check passed",
    }  # fmt: skip


async def test_checks_can_be_excluded_each_by_its_own_parameter(cluster: Cluster) -> None:
    _, found = await lines(cluster, "/livez?verbose&exclude=etcd&exclude=log&exclude=nonsense")
    assert found[1:3] == ["[+]log excluded: ok", "[+]etcd excluded: ok"]
    assert found[-3] == ('warn: some health checks cannot be excluded: no matches for "nonsense"')


async def test_a_single_check_has_its_own_path(cluster: Cluster) -> None:
    hook = "/readyz/poststarthook/rbac/bootstrap-roles"
    assert await lines(cluster, hook) == (200, ["ok"])
    for path in ("/livez/shutdown", "/readyz/nonsense", "/healthz/"):
        assert await lines(cluster, path) == (404, ["404 page not found", ""])


async def test_a_server_that_stops_is_alive_but_not_ready(cluster: Cluster) -> None:
    cluster.api.stop()
    status, found = await lines(cluster, "/readyz")
    assert status == 500
    assert found[-3:] == [
        "[-]shutdown failed: reason withheld", "readyz check failed", "",
    ]  # fmt: skip
    assert await lines(cluster, "/readyz?exclude=shutdown") == (200, ["ok"])
    assert await lines(cluster, "/readyz/shutdown") == (
        500, ["internal server error: process is shutting down", ""],
    )  # fmt: skip
    assert (await lines(cluster, "/livez"))[0] == 200
