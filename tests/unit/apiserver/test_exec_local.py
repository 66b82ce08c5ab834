"""Commands that really run: output, exit codes, input, terminal, environment, and their end."""

import asyncio
import json
import os
import select
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kubeherd.cluster.api.remotecommand.channels import Channel, Protocol
from kubeherd.cluster.apiserver.streams import local, session
from kubeherd.cluster.apiserver.streams.local import Command, LocalCommands
from kubeherd.cluster.apiserver.streams.owntmp import OwnTmp
from kubeherd.cluster.apiserver.streams.scratch import Scratch
from kubeherd.cluster.apiserver.streams.session import Streams

POD = {"metadata": {"name": "p", "namespace": "n", "uid": "u1"}}
PLAIN = Streams(stdin=False, stdout=True, stderr=True, tty=False)


class Client:
    """The client's end of a connection."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._news = asyncio.Event()

    def says(self, channel: Channel, data: bytes) -> None:
        self._sent.put_nowait(bytes((channel,)) + data)

    def goes(self) -> None:
        self._sent.put_nowait(None)

    def text(self, channel: Channel) -> str:
        return b"".join(m[1:] for m in self.received if m[0] == channel).decode()

    @property
    def exit_code(self) -> int:
        status = json.loads(self.text(Channel.ERROR))
        return (
            0 if status["status"] == "Success" else int(status["details"]["causes"][0]["message"])
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition of what was received."""
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def send(self, data: bytes | str) -> None:
        assert isinstance(data, bytes)
        self.received.append(data)
        self._news.set()

    async def receive(self) -> bytes | None:
        return await self._sent.get()

    async def close(self, last: bytes | str | None = None) -> None:
        if last is not None:
            await self.send(last)


@pytest.fixture
async def commands() -> AsyncIterator[LocalCommands]:
    commands = LocalCommands(Scratch(lambda _namespace, _pod: "u1"))
    yield commands
    commands.close()


async def _serve(
    commands: LocalCommands, client: Client, *words: str, streams: Streams = PLAIN, **spec: Any
) -> Client:
    command = Command(words, POD, {"name": "c", **spec}, streams, "admin")
    answer = partial(commands.run, command)
    async with asyncio.timeout(20):
        await session.serve(client, Protocol.V5, streams.first, answer)
    return client


async def test_output_and_exit_code(commands: LocalCommands) -> None:
    client = await _serve(commands, Client(), "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (client.text(Channel.STDOUT), client.text(Channel.STDERR)) == ("out\n", "err\n")
    assert client.exit_code == 7
    client = await _serve(commands, Client(), "sh", "-c", "kill -9 $$")
    assert client.exit_code == 137


async def test_a_program_that_is_not_there(commands: LocalCommands) -> None:
    for program in ("no-such-program", "./here", "/no/such/program"):
        client = await _serve(commands, Client(), program)
        assert "executable file not found in $PATH" in client.text(Channel.STDERR)
        assert client.exit_code == 127


async def test_standard_input_and_its_end(commands: LocalCommands) -> None:
    client = Client()
    client.says(Channel.STDIN, b"x" * 100_000)
    client.says(Channel.STDIN, b"y")
    client.says(Channel.CLOSE, bytes((Channel.STDIN,)))
    await _serve(commands, client, "cat", streams=PLAIN._replace(stdin=True))
    assert client.text(Channel.STDOUT) == "x" * 100_000 + "y"
    assert client.exit_code == 0


async def test_a_command_need_not_read_its_input(commands: LocalCommands) -> None:
    client = Client()
    client.says(Channel.STDIN, b"x" * 200_000)
    await _serve(commands, client, "true", streams=PLAIN._replace(stdin=True))
    assert client.exit_code == 0


async def test_a_terminal_has_the_size_of_the_client_s(commands: LocalCommands) -> None:
    client = Client()
    client.says(Channel.RESIZE, b'{"Width": 101, "Height": 33}')
    client.says(Channel.RESIZE, b"nonsense")
    terminal = Streams(stdin=True, stdout=True, stderr=False, tty=True)
    script = "tty; read word; stty size; echo $word >&2; exit 3"
    served = asyncio.create_task(_serve(commands, client, "sh", "-c", script, streams=terminal))
    await client.until(lambda: "/dev/pts/" in client.text(Channel.STDOUT))
    client.says(Channel.STDIN, b"typed\n")
    await served
    assert client.text(Channel.STDOUT).endswith("typed\r\n33 101\r\ntyped\r\n")
    assert client.exit_code == 3


async def test_only_the_container_s_environment_is_seen(
    commands: LocalCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "1")
    env = [{"name": "A", "value": "b"}, {"name": "S", "valueFrom": {"secretKeyRef": {}}}]
    client = await _serve(commands, Client(), "sh", "-c", "env; pwd", env=env)
    shown = client.text(Channel.STDOUT).splitlines()
    assert {line.partition("=")[0] for line in shown[:-1]} == {
        "A", "HOME", "HOSTNAME", "PATH", "PWD",
    }  # fmt: skip
    assert f"HOME={shown[-1]}" in shown
    assert shown[-1].endswith("/u1/c")


async def test_the_process_ends_with_its_client(commands: LocalCommands) -> None:
    client = Client()
    served = asyncio.create_task(_serve(commands, client, "sh", "-c", "sleep 1000 & echo $!; wait"))
    await client.until(lambda: bool(client.text(Channel.STDOUT)))
    child = os.pidfd_open(int(client.text(Channel.STDOUT)))
    try:
        assert select.select([child], [], [], 0)[0] == []
        client.goes()
        await served
        assert select.select([child], [], [], 10)[0] == [child]
    finally:
        os.close(child)


async def test_what_its_children_hold_open_does_not_delay_the_end(commands: LocalCommands) -> None:
    client = await _serve(commands, Client(), "sh", "-c", "sleep 1000 & echo on")
    assert (client.text(Channel.STDOUT), client.exit_code) == ("on\n", 0)


async def test_there_is_a_bound(commands: LocalCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_PROCESSES", 0)
    client = await _serve(commands, Client(), "true")
    assert "0 commands are running" in client.text(Channel.ERROR)


def test_folders_go_with_their_pods_and_the_server() -> None:
    pods = {("n", "a"): "u1", ("n", "b"): "u2"}
    scratch = Scratch(lambda namespace, name: pods.get((namespace, name), ""))
    first = scratch.folder("n", "a", "c")
    assert first.stat().st_mode & 0o777 == 0o700
    assert scratch.folder("n", "a", "c") == first
    pods["n", "a"] = "u3"
    second = scratch.folder("n", "b", "c")
    assert (first.exists(), second.exists()) == (False, True)
    scratch.close()
    assert not second.parent.parent.exists()


async def test_each_container_has_a_tmp_of_its_own(commands: LocalCommands, tmp_path: Path) -> None:
    if await OwnTmp().folder(tmp_path / "c") is None:
        pytest.skip("this machine does not let unshare make mount namespaces")
    name = f"/tmp/{tmp_path.name}-x"
    script = f"cd && pwd -P && echo 'echo hi' > {name} && chmod 755 {name} && touch here"
    client = await _serve(commands, Client(), "sh", "-c", script)
    assert (client.exit_code, client.text(Channel.STDERR)) == (0, "")
    folder = Path(client.text(Channel.STDOUT).strip())
    assert (folder / "here").exists()
    assert not Path(name).exists()  # noqa: ASYNC240 - at once
    assert (await _serve(commands, Client(), name)).text(Channel.STDOUT) == "hi\n"
    assert (await _serve(commands, Client(), "cat", name, name="d")).exit_code == 1
    wrote = ["sh", "-c", "echo a > /tmp/d/file; echo b > /etc/other; sleep 1"]
    client = await _serve(commands, Client(), "cat", "/tmp/d/file", name="e", command=wrote)
    assert client.text(Channel.STDOUT) == "a\n"


async def test_a_program_in_the_machine_s_tmp_still_runs(
    commands: LocalCommands, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    path = [{"name": "PATH", "value": f"{tmp_path}:/usr/bin:/bin"}]
    client = await _serve(commands, Client(), "program", env=path)
    assert client.text(Channel.STDOUT) == "found\n"


async def test_what_a_client_says_before_it_hangs_up_is_heard(commands: LocalCommands) -> None:
    client = Client()
    for _ in range(40):
        client.says(Channel.STDIN, b"x" * 10_000)
    client.goes()
    streams = PLAIN._replace(stdin=True)
    await _serve(commands, client, "sh", "-c", "sleep 0.1; cat > heard", streams=streams)
    heard = await _serve(commands, Client(), "wc", "-c", "heard")
    assert heard.text(Channel.STDOUT).split()[0] == "400000"
