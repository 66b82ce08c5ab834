"""That a hostile run knows whose write it was, and what it does with one of the server's own."""

from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hostile.checker import Report, Run
from hostile.mirror import Mirror
from hostile.requests import Hostile
from hostile.targets import Answer, InProcess, in_process
from hostile.writers import Writers

from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.history import Actor, Verb, Write, files

CMS = "/api/v1/namespaces/default/configmaps"
_REFUSED = Hostile("configmaps", "POST", CMS, {}, {}, b'{"metadata":{"name":"A"}}')


class _Same:
    def next(self) -> Hostile:
        return _REFUSED


def _write(revision: int, user: str) -> Write:
    return Write(
        at=0.0, revision=revision, verb=Verb.CREATE, resource="configmaps", name="a", object={},
        actor=Actor(user=user),
    )  # fmt: skip


def test_only_what_the_server_wrote_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    users = {11: "bob", 12: SERVER.name, 13: SERVER.name, 14: "bob", 16: SERVER.name}
    files.write(path, [_write(revision, user) for revision, user in users.items()])
    writers = Writers(path)
    assert writers.by_itself(11, 13)
    assert not writers.by_itself(12, 14)
    assert not writers.by_itself(14, 16)  # nobody knows who wrote 15
    assert writers.by_itself(15, 16)


class _Restless(InProcess):
    """A server that writes something while it refuses a request, or while it is looked at."""

    own = True
    at = ""

    async def send(self, request: Hostile) -> Answer:
        if request is _REFUSED or request.path == self.at:
            self.at = ""
            name = f"r{self._store.revision}"
            good = b'{"metadata":{"name":"%s"}}' % name.encode()
            await super().send(Hostile("configmaps", "POST", CMS, {}, {}, good))
        return await super().send(request)

    def by_itself(self, after: int, until: int) -> bool:
        return self.own


@asynccontextmanager
async def _restless() -> Any:
    async with in_process() as target:
        yield _Restless(target._api, target._store)


@pytest.mark.parametrize("own", [True, False])
async def test_what_the_server_writes_by_itself_is_no_half_stored_request(own: bool) -> None:
    async with _restless() as target:
        target.own = own
        report: Report = await Run(target, _Same()).run(2, lambda _: None)
    refused = [one for one in report.problems if "refused with 422" in one.why]
    assert len(refused) == (0 if own else 2)


async def test_what_is_written_while_the_checker_looks_is_looked_at_again() -> None:
    async with _restless() as target:
        mirror = Mirror(target)
        await mirror.follow()
        target.at = CMS.replace("/namespaces/default", "")
        assert await mirror.problems() == []
        assert target.at == ""


async def test_a_server_that_does_not_tell_what_it_stores_is_a_problem() -> None:
    async with in_process() as target:

        class Broken(InProcess):
            async def send(self, request: Hostile) -> Answer:
                if request.route == "look":
                    return Answer(0, b"TimeoutError()")
                return await super().send(request)

        broken = Broken(target._api, target._store)
        report = await Run(broken, _Same()).run(2, lambda _: None)
    assert "is answered 0: TimeoutError()" in report.problems[0].why
