"""What a fake container answers to a command, and the Status and messages that carry it."""

import json
import tarfile
from io import BytesIO

import pytest

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.remotecommand import channels, outcome, script
from kubeherd.cluster.api.remotecommand.channels import Channel, Message, Protocol
from kubeherd.cluster.api.shell.surroundings import Surroundings

NOT_THERE = (
    "OCI runtime exec failed: exec failed: unable to start container process: "
    'exec: "ls": executable file not found in $PATH: unknown'
)


def _scripted(table: object, key: str = "exec") -> dict[str, str]:
    return {f"kubeherd.io/{key}": json.dumps(table)}


def _said(reply: script.Reply) -> str:
    return b"".join(data for _, data in reply.output).decode()


def _code(reply: script.Reply) -> int:
    if reply.status["status"] == "Success":
        return 0
    (cause,) = reply.status["details"]["causes"]
    assert (reply.status["reason"], cause["reason"]) == ("NonZeroExitCode", "ExitCode")
    return int(cause["message"])


def test_a_script_maps_commands_to_output_and_exit_code() -> None:
    annotations = _scripted({
        "cat /etc/hostname": "web-1\n",
        "sh -c 'exit  5'": {"stderr": "bad\n", "exitCode": 5, "delaySeconds": 2},
        "ls": {"stdout": "a\nb\n"},
    })  # fmt: skip
    reply = script.reply(annotations, "web", ["cat", "/etc/hostname"])
    assert (_said(reply), reply.stderr, reply.ends_s, _code(reply)) == ("web-1\n", "", 0.0, 0)
    reply = script.reply(annotations, "web", ["sh", "-c", "exit  5"])
    assert (_said(reply), reply.stderr, reply.ends_s, _code(reply)) == ("", "bad\n", 2.0, 5)
    assert _said(script.reply(annotations, "web", ["ls"])) == "a\nb\n"


def test_the_script_of_a_container_goes_before_that_of_the_pod() -> None:
    annotations = _scripted({"ls": "pod"}) | _scripted({"ls": "web", "*": "any"}, "web.exec")
    assert _said(script.reply(annotations, "web", ["ls"])) == "web"
    assert _said(script.reply(annotations, "web", ["id"])) == "any"
    assert _said(script.reply(annotations, "other", ["ls"])) == "pod"


def test_plain_commands_need_no_script() -> None:
    reply = script.reply({}, "web", ["sh", "-c", "echo a; sleep 3; exit 4"])
    assert (list(reply.output), reply.ends_s, _code(reply)) == ([(0.0, b"a\n")], 3.0, 4)
    assert _said(script.reply(_scripted({"echo a": "b"}), "web", ["echo", "a"])) == "b"


FILES = (("/tmp/a/one", "1\n"), ("/tmp/a/b/two", "2\n"), ("/tmp/ab", "3\n"))
AROUND = Surroundings(files=FILES)


@pytest.mark.parametrize(
    ("words", "mode", "names"),
    [
        ("tar cf - /tmp/ab", "r:", {"tmp/ab": b"3\n"}),
        ("tar zcf - -C /tmp ab", "r:gz", {"ab": b"3\n"}),
        ("tar -cf - -C /tmp a", "r:", {"a/one": b"1\n", "a/b/two": b"2\n"}),
        ("tar cf - tmp/a/ /", "r:", {"tmp/a/one": b"1\n", "tmp/a/b/two": b"2\n", "tmp/ab": b"3\n"}),
    ],
)
def test_files_of_the_container_can_be_packed(
    words: str, mode: str, names: dict[str, bytes]
) -> None:
    reply = script.reply({}, "web", words.split(), AROUND)
    ((_, data),) = reply.output
    with tarfile.open(fileobj=BytesIO(data), mode=mode) as archive:  # type: ignore[call-overload]
        found = {one.name: archive.extractfile(one) for one in archive}
        assert {name: file.read() for name, file in found.items() if file} == names
    assert _code(reply) == 0


def test_tar_without_what_it_is_asked_for() -> None:
    reply = script.reply({}, "web", ["tar", "cf", "-", "/c"], AROUND)
    assert (reply.stderr, _code(reply)) == ("tar: /c: Cannot stat: No such file or directory\n", 2)
    for words in ("tar xmf - -C /tmp", "tar cf x /tmp", "tar cf - --exclude x y"):
        assert _code(script.reply({}, "web", words.split(), AROUND)) == outcome.NOT_FOUND_CODE
    assert _code(script.reply({}, "web", ["tar", "cf", "-", "/c"])) == outcome.NOT_FOUND_CODE


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"ls": 5}', '{"ls": {"exitCode": "x"}}', "\ud800"]
)
def test_what_is_not_there_is_said_as_by_a_runtime(text: str) -> None:
    reply = script.reply({"kubeherd.io/exec": text}, "web", ["ls", "/"])
    assert (_said(reply), reply.stderr, _code(reply)) == ("", f"{NOT_THERE}\n", 127)
    assert reply.status["message"] == NOT_THERE


def test_the_status_of_an_exit_code() -> None:
    assert outcome.exited(0) == {"metadata": {}, "status": "Success"}
    assert outcome.exited(2) == {
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: exit status 2",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "2"}]},
    }


def test_the_best_protocol_is_chosen() -> None:
    assert channels.choose("v4.channel.k8s.io, v5.channel.k8s.io") is Protocol.V5
    assert channels.choose("v4.base64.channel.k8s.io") is Protocol.V4_BASE64
    assert channels.choose("") is Protocol.NONE
    with pytest.raises(BadRequest, match=r"client supports \[x y\], server supports \[v5\.channel"):
        channels.choose("x,y")


@pytest.mark.parametrize("protocol", [Protocol.V5, Protocol.V4])
def test_messages_carry_their_channel(protocol: Protocol) -> None:
    assert channels.encode(protocol, Channel.STDERR, b"x") == b"\x02x"
    assert channels.decode(protocol, b"\x00hi") == Message(Channel.STDIN, b"hi")
    assert channels.decode(protocol, b"\xff\x00") == Message(Channel.CLOSE, b"\x00")
    assert channels.decode(protocol, b"") is None
    assert channels.decode(protocol, b"\x09x") is None


def test_base64_messages_are_text() -> None:
    protocol = Protocol.V4_BASE64
    assert channels.encode(protocol, Channel.STDOUT, b"hi") == "1aGk="
    assert channels.decode(protocol, "0aGk=") == Message(Channel.STDIN, b"hi")
    assert channels.decode(protocol, "0a") is None
