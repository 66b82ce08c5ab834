"""Commands that really run: what they see and leave as files, and how these go."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from localexec import PLAIN, Client, serve, shell

from kubeherd.cluster.api.remotecommand.channels import Channel
from kubeherd.cluster.apiserver.streams import ownfiles, ownroot, scratch
from kubeherd.cluster.apiserver.streams.local import LocalCommands
from kubeherd.cluster.apiserver.streams.ownroot import OwnRoots
from kubeherd.cluster.apiserver.streams.scratch import Scratch


@pytest.fixture
async def commands() -> AsyncIterator[LocalCommands]:
    commands = LocalCommands(Scratch(lambda _namespace, _pod: "u1"))
    yield commands
    commands.close()


async def test_folders_go_with_their_pods_and_the_server() -> None:
    pods = {("n", "p"): "u1"}
    commands = LocalCommands(Scratch(lambda namespace, name: pods.get((namespace, name), "")))
    shut = "pwd; mkdir -p shut/in && chmod 0 shut"
    first = Path((await shell(commands, shut)).strip())
    assert first.stat().st_mode & 0o777 == 0o700  # noqa: ASYNC240 - at once
    assert Path((await shell(commands, "pwd")).strip()) == first
    pods["n", "p"] = "u2"
    second = Path((await shell(commands, "pwd")).strip())
    assert (first.parent.exists(), second.exists()) == (False, True)  # noqa: ASYNC240
    commands.close()
    assert not second.parent.parent.exists()


def test_folders_of_a_server_that_was_killed_go_with_the_first_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, other = Scratch(lambda *_: "u1"), tmp_path / "kubeherd-containers-x"
    other.mkdir()
    program = (
        "from kubeherd.cluster.apiserver.streams.scratch import Scratch\n"
        "print(Scratch(lambda *_: 'u1').folder('n', 'p', 'c'))"
    )
    run = [sys.executable, "-c", program]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    said = subprocess.run(run, check=True, env=environment, capture_output=True, text=True).stdout
    killed = Path(said.strip())
    first = living.folder("n", "p", "c")
    scratch.remove(Scratch(lambda *_: "u1").take_gone())
    assert (killed.exists(), first.exists(), other.exists()) == (False, True, True)
    living.close()


async def test_what_containers_write_has_a_bound(
    commands: LocalCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "MAX_BYTES", 3_000_000)
    write = "dd if=/dev/zero of={} bs=1000000 count=2 2> /dev/null"
    await shell(commands, write.format("file"))
    await shell(commands, write.format("more") + "; rm file")
    await shell(commands, write.format("file"))
    client = await serve(commands, Client(), "true", name="d")
    assert "take more than 3000000 bytes" in client.text(Channel.ERROR)


@pytest.fixture
async def _own_files(tmp_path: Path) -> None:
    """Skips where containers see the machine's files."""
    folder = tmp_path / "c"
    folder.mkdir()
    async with OwnRoots().inside(folder) as inside:
        if not inside.entering:
            pytest.skip("this machine does not let unshare make mount namespaces")


@pytest.fixture
async def _layers(commands: LocalCommands, _own_files: None) -> None:
    """Skips where what a container writes in /etc would be the machine's."""
    if await shell(commands, "stat -f -c %T /etc", name="probe") != "overlayfs\n":
        pytest.skip("this machine cannot mount overlayfs in a mount namespace")


@pytest.mark.usefixtures("_own_files")
async def test_each_container_has_a_tmp_of_its_own(commands: LocalCommands, tmp_path: Path) -> None:
    name = f"/tmp/{tmp_path.name}-x"
    script = f"cd && pwd -P && echo 'echo hi' > {name} && chmod 755 {name} && touch here"
    folder = Path((await shell(commands, script)).strip())
    assert (folder / "here").exists()
    assert not Path(name).exists()  # noqa: ASYNC240 - at once
    assert (await serve(commands, Client(), name)).text(Channel.STDOUT) == "hi\n"
    assert (await serve(commands, Client(), "cat", name, name="d")).exit_code == 1
    assert await shell(commands, "stat -c %a /tmp") == "1777\n"


@pytest.mark.usefixtures("_layers")
@pytest.mark.parametrize("where", ["/", "/etc/", "/usr/", "/new/folder/"])
async def test_what_a_container_writes_nobody_else_sees(
    commands: LocalCommands, tmp_path: Path, where: str
) -> None:
    name = f"{where}{tmp_path.name}-x"
    await shell(commands, f"mkdir -p {where}; echo mine > {name}")
    assert await shell(commands, f"cat {name}") == "mine\n"
    assert (await serve(commands, Client(), "cat", name, name="d")).exit_code == 1
    assert not Path(name).exists()  # noqa: ASYNC240 - at once


@pytest.mark.usefixtures("_own_files")
async def test_the_machine_is_there_as_it_is(commands: LocalCommands) -> None:
    shown = await shell(commands, "ls /bin/sh /proc/self/status /dev/null; stat -c %a / /etc")
    assert shown.split() == ["/bin/sh", "/dev/null", "/proc/self/status", "755", "755"]


@pytest.mark.usefixtures("_layers")
async def test_commands_at_the_same_time_see_the_same(commands: LocalCommands) -> None:
    client = Client()
    script = "ls /etc > /dev/null; echo on; read word; cat /etc/later"
    streams = PLAIN._replace(stdin=True)
    waiting = asyncio.create_task(serve(commands, client, "sh", "-c", script, streams=streams))
    await client.until(lambda: client.text(Channel.STDOUT) == "on\n")
    await shell(commands, "echo now > /etc/later")
    client.says(Channel.STDIN, b"go\n")
    await waiting
    assert client.text(Channel.STDOUT) == "on\nnow\n"


@pytest.mark.usefixtures("_layers")
async def test_what_its_plain_command_wrote_is_there(commands: LocalCommands) -> None:
    wrote = ["sh", "-c", "echo a > /tmp/d/file; echo b > /etc/other; echo c > /it; sleep 1"]
    script = "cat /tmp/d/file /etc/other /it"
    assert await shell(commands, script, command=wrote) == "a\nb\nc\n"


@pytest.mark.usefixtures("_layers")
async def test_programs_that_a_container_installs_are_found(commands: LocalCommands) -> None:
    path = [{"name": "PATH", "value": "/opt/own:/usr/bin:/bin"}]
    install = "mkdir -p /opt/own && echo 'echo found' > /opt/own/tool && chmod 755 /opt/own/tool"
    await shell(commands, install)
    for program in ("tool", "/opt/own/tool"):
        client = await serve(commands, Client(), program, env=path)
        assert client.text(Channel.STDOUT) == "found\n"
    assert (await serve(commands, Client(), "tool", env=path, name="d")).exit_code == 127


@pytest.mark.usefixtures("_own_files")
async def test_nobody_holds_the_files_of_a_container_without_commands(
    commands: LocalCommands,
) -> None:
    shown = (await shell(commands, "readlink /proc/self/ns/mnt")).strip()
    for process in os.scandir("/proc"):
        with suppress(OSError):  # it is none, or ends meanwhile
            assert os.readlink(f"{process.path}/ns/mnt") != shown  # noqa: PTH115


async def test_where_there_are_no_namespaces_the_machine_s_files_are_seen(
    commands: LocalCommands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownroot, "_HOLD", "echo no; exit 1")
    (tmp_path / "file").write_text("seen\n")
    assert await shell(commands, f"cat {tmp_path}/file; pwd > /dev/null") == "seen\n"


@pytest.mark.usefixtures("_own_files")
async def test_where_there_are_no_layers_the_root_is_still_its_own(
    commands: LocalCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownroot, "_LAYER_OPTIONS", "no-such-option")
    await shell(commands, "test -s /etc/passwd && touch /here")
    await shell(commands, "test -s /etc/passwd && test ! -e /here", name="d")


def test_what_is_mounted_deeper_is_shared_and_what_the_machine_links_stays_a_link(
    tmp_path: Path,
) -> None:
    for name in ("home", "mnt", "proc", "run", "tmp", "usr", "odd,name"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "file").touch()
    points = ("/", "/home", "/mnt/disk", "/proc", "/run/user/0", "/tmp/x")
    mounts = "".join(f"1 2 0:1 / {point} rw - ext4 dev rw\n" for point in points)
    top = ownfiles.top(tmp_path, mounts)
    assert top.layered == ("home", "usr")
    assert top.shared == ("mnt", "proc", "run")
    assert top.links == (("bin", "usr/bin"),)


async def test_a_program_in_the_machine_s_tmp_still_runs(
    commands: LocalCommands, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    path = [{"name": "PATH", "value": f"{tmp_path}:/usr/bin:/bin"}]
    client = await serve(commands, Client(), "program", env=path)
    assert client.text(Channel.STDOUT) == "found\n"
