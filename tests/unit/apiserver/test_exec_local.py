"""Commands that really run: output, exit codes, input, terminal, environment, and their end."""

import asyncio
import os
import select
from collections.abc import AsyncIterator

import pytest
from localexec import PLAIN, Client, serve

from kubeherd.cluster.api.remotecommand.channels import Channel
from kubeherd.cluster.apiserver.streams import local
from kubeherd.cluster.apiserver.streams.local import LocalCommands
from kubeherd.cluster.apiserver.streams.scratch import Scratch
from kubeherd.cluster.apiserver.streams.session import Streams


@pytest.fixture
async def commands() -> AsyncIterator[LocalCommands]:
    commands = LocalCommands(Scratch(lambda _namespace, _pod: "u1"))
    yield commands
    commands.close()


async def test_output_and_exit_code(commands: LocalCommands) -> None:
    client = await serve(commands, Client(), "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (client.text(Channel.STDOUT), client.text(Channel.STDERR)) == ("out\n", "err\n")
    assert client.exit_code == 7
    client = await serve(commands, Client(), "sh", "-c", "kill -9 $$")
    assert client.exit_code == 137


async def test_a_program_that_is_not_there(commands: LocalCommands) -> None:
    for program in ("no-such-program", "./here", "/no/such/program"):
        client = await serve(commands, Client(), program)
        assert "executable file not found in $PATH" in client.text(Channel.STDERR)
        assert client.exit_code == 127


async def test_what_no_process_can_be_given(commands: LocalCommands) -> None:
    env = [{"name": "A", "value": "\0"}]
    for words, variables in ((["a\0b"], []), (["/a\0"], []), (["echo", "\0"], []), (["true"], env)):
        client = await serve(commands, Client(), *words, env=variables)
        assert "a NUL in its words or environment" in client.text(Channel.ERROR)


async def test_standard_input_and_its_end(commands: LocalCommands) -> None:
    client = Client()
    client.says(Channel.STDIN, b"x" * 100_000)
    client.says(Channel.STDIN, b"y")
    client.says(Channel.CLOSE, bytes((Channel.STDIN,)))
    await serve(commands, client, "cat", streams=PLAIN._replace(stdin=True))
    assert client.text(Channel.STDOUT) == "x" * 100_000 + "y"
    assert client.exit_code == 0


async def test_a_command_need_not_read_its_input(commands: LocalCommands) -> None:
    client = Client()
    client.says(Channel.STDIN, b"x" * 200_000)
    await serve(commands, client, "true", streams=PLAIN._replace(stdin=True))
    assert client.exit_code == 0


async def test_a_terminal_has_the_size_of_the_client_s(commands: LocalCommands) -> None:
    client = Client()
    client.says(Channel.RESIZE, b'{"Width": 101, "Height": 33}')
    client.says(Channel.RESIZE, b"nonsense")
    terminal = Streams(stdin=True, stdout=True, stderr=False, tty=True)
    script = "tty; read word; stty size; echo $word >&2; exit 3"
    served = asyncio.create_task(serve(commands, client, "sh", "-c", script, streams=terminal))
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
    client = await serve(commands, Client(), "sh", "-c", "env; pwd", env=env)
    shown = client.text(Channel.STDOUT).splitlines()
    assert {line.partition("=")[0] for line in shown[:-1]} == {
        "A", "HOME", "HOSTNAME", "PATH", "PWD",
    }  # fmt: skip
    assert f"HOME={shown[-1]}" in shown
    assert shown[-1].endswith("/u1/c")


async def test_the_process_ends_with_its_client(commands: LocalCommands) -> None:
    client = Client()
    served = asyncio.create_task(serve(commands, client, "sh", "-c", "sleep 1000 & echo $!; wait"))
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
    client = await serve(commands, Client(), "sh", "-c", "sleep 1000 & echo on")
    assert (client.text(Channel.STDOUT), client.exit_code) == ("on\n", 0)


async def test_there_is_a_bound(commands: LocalCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_PROCESSES", 0)
    client = await serve(commands, Client(), "true")
    assert "0 commands are running" in client.text(Channel.ERROR)


async def test_what_a_client_says_before_it_hangs_up_is_heard(commands: LocalCommands) -> None:
    client = Client()
    for _ in range(40):
        client.says(Channel.STDIN, b"x" * 10_000)
    client.goes()
    streams = PLAIN._replace(stdin=True)
    await serve(commands, client, "sh", "-c", "sleep 0.1; cat > heard", streams=streams)
    heard = await serve(commands, Client(), "wc", "-c", "heard")
    assert heard.text(Channel.STDOUT).split()[0] == "400000"
