"""What is known of a container's command: as dash and busybox run it, or nothing."""

from itertools import islice

import pytest

from kubeherd.cluster.api.helpers.commands import (
    Program,
    Surroundings,
    loops_for_ever,
    program,
)
from kubeherd.cluster.api.shell.evaluation import Stopping


@pytest.mark.parametrize(
    ("words", "output", "ends_s", "code"),
    [
        (["echo", "hi", "there"], [(0.0, "hi there\n")], 0.0, 0),
        (["echo", "-n", "hi"], [(0.0, "hi")], 0.0, 0),
        (["echo"], [(0.0, "\n")], 0.0, 0),
        (["/bin/sleep", "5"], [], 5.0, 0),
        (["sleep", "1m", "1.5"], [], 61.5, 0),
        (["sleep", "infinity"], [], None, 0),
        (["true"], [], 0.0, 0),
        (["/usr/bin/false"], [], 0.0, 1),
        (["sh", "-c", "exit 3"], [], 0.0, 3),
        (["sh", "-c", "exit 257"], [], 0.0, 1),
        (["sh", "-c", "false; exit"], [], 0.0, 1),
        (
            ["/bin/sh", "-c", "echo a; sleep 2; echo 'b;  c' && exit 4"],
            [(0.0, "a\n"), (2.0, "b;  c\n")],
            2.0,
            4,
        ),
        (["bash", "-c", "false || echo x\n\ntrue && echo y;\n"], [(0, "x\n"), (0, "y\n")], 0.0, 0),
        (["sh", "-c", "true || echo x && echo y"], [(0.0, "y\n")], 0.0, 0),
        (["sh", "-c", "false && echo x; echo y"], [(0.0, "y\n")], 0.0, 0),
        (["sh", "-ec", "false; echo no"], [], 0.0, 1),
        (["sh", "-ec", "false && echo no; echo yes"], [(0.0, "yes\n")], 0.0, 0),
        (["sh", "-c", "exec sleep 1h; echo no"], [], 3600.0, 0),
        (["sh", "-c", "echo '$HOME' \"it's\""], [(0.0, "$HOME it's\n")], 0.0, 0),
        (["sh", "-c", "echo ';' # and no more"], [(0.0, ";\n")], 0.0, 0),
        (["sh", "-c", "for i in 1 2; do echo a$i; done"], [(0.0, "a1\n"), (0.0, "a2\n")], 0.0, 0),
        (["sh", "-c", "a=2; b=$((a * 3 - 1)); exit $b"], [], 0.0, 5),
        (["sh", "-c", "a='x y'; echo $a \"$a\" ${a}z"], [(0.0, "x y x y x yz\n")], 0.0, 0),
        (["sh", "-c", "echo $(echo a; echo b)"], [(0.0, "a b\n")], 0.0, 0),
        (["sh", "-c", "if false; then exit 1; elif [ 2 -gt 1 ]; then exit 7; fi"], [], 0.0, 7),
        (["sh", "-c", "if false; then exit 1; fi; echo $?"], [(0.0, "0\n")], 0.0, 0),
        (["sh", "-c", "if ! false; then echo a >&2; else exit 1; fi"], [(0.0, "a\n")], 0, 0),
        (["sh", "-c", "sh -c 'exit 3' || echo $?"], [(0.0, "3\n")], 0.0, 0),
        (["sh", "-c", "set -e; if false; then :; fi; ! true; false; echo no"], [], 0.0, 1),
        (["sh", "-c", "trap 'exit 0' TERM; sleep 2 2>/dev/null"], [], 2.0, 0),
        (["sh", "-c", "export A=1; [ $A = 1 ] && test -n x && [[ a != b ]]"], [], 0.0, 0),
        (
            ["sh", "-c", "f()\n{\n echo a\n return\n echo b\n}\nf; f && exit 2"],
            [(0, "a\n")] * 2,
            0,
            2,
        ),
        (["expr", "7", "%", "4"], [(0.0, "3\n")], 0.0, 0),
        (["seq", "2"], [(0.0, "1\n2\n")], 0.0, 0),
        (["seq", "5", "-2", "1"], [(0.0, "5\n3\n1\n")], 0.0, 0),
        (["seq", "3", "2"], [], 0.0, 0),
        (
            ["sh", "-c", "for i in $(seq 0 2); do echo $i; done"],
            [(0, "0\n"), (0, "1\n"), (0, "2\n")],
            0,
            0,
        ),
    ],
)
def test_plain_commands(
    words: list[str], output: list[tuple[float, str]], ends_s: float | None, code: int
) -> None:
    assert program(words, []) == Program(tuple(output), ends_s, code)
    assert program(words[:1], words[1:]) == program([], words) == program(words, [])


@pytest.mark.parametrize(
    ("script", "told", "ends_s", "code"),
    [
        ("while true;do echo 'a b';sleep 5; done", ["0 a b", "5 a b", "10 a b"], None, 0),
        ("echo a; until false\ndo\nsleep 2; echo b\ndone", ["0 a", "2 b", "4 b"], None, 0),
        ("while sleep 3; do echo x; echo y; done", ["3 x", "3 y", "6 x"], None, 0),
        ("while :; do sleep 1; done", [], None, 0),
        ("while true; do true; done", [], None, 0),
        ("echo a; while false; do echo no; done", ["0 a"], 0.0, 0),
        ("until true; do echo no; done", [], 0.0, 0),
        ("while true; do sleep 4; echo a; exit 3; done", ["4 a"], 4.0, 3),
        ("exit 2; while true; do sleep 1; done", [], 0.0, 2),
        ("while true; do sleep 1; done; echo never", [], None, 0),
        ("while true; do echo a; while true; do sleep 1; done; done", ["0 a"], None, 0),
        ("false || while true; do sleep 1; done", [], None, 0),
        (
            "i=0; while [ $i -lt 2 ]; do echo $i; i=$(expr $i + 1); sleep 3; done",
            ["0 0", "3 1"],
            6,
            0,
        ),
        (
            "i=0; until [ $i = 1 ]; do i=1; done; while :; do sleep 2; echo b; done",
            ["2 b", "4 b", "6 b"],
            None,
            0,
        ),
    ],
)
def test_loops(script: str, told: list[str], ends_s: float | None, code: int) -> None:
    known = program(["sh", "-c", script], [])
    assert known is not None
    shown = [f"{at_s:g} {text.rstrip()}" for at_s, text in islice(known.told(), 3)]
    assert (shown, known.ends_s, known.exit_code) == (told, ends_s, code)


@pytest.mark.parametrize(
    ("script", "stopping"),
    [
        ("while true; do sleep 1; done", None),
        ("trap 'exit 3' TERM; while true; do sleep 1; done", Stopping(0.0, 3)),
        ("t(){\n sleep 5\n exit 4\n}\ntrap t SIGTERM\nwhile :; do sleep 1; done", Stopping(5, 4)),
        ("trap 'exit 3' TERM; trap - TERM; while true; do sleep 1; done", None),
        ("trap '' TERM; while true; do sleep 1; done", Stopping(None, 0)),
        ("trap : 15; while true; do sleep 1; done", Stopping(None, 0)),
        ("trap 'exit 3' INT; while true; do sleep 1; done", None),
        ("trap 'exit 3' TERM; sleep 7", None),
    ],
)  # fmt: skip
def test_what_a_trap_does(script: str, stopping: Stopping | None) -> None:
    known = program(["sh", "-c", script], [])
    assert known is not None
    assert known.on_term == stopping


def test_a_loop_heeds_the_flag_e() -> None:
    assert program(["sh", "-ec", "while true; do sleep 2; false; done"], []) == Program((), 2.0, 1)
    endless = program(["sh", "-ec", "until false; do sleep 2; done"], [])
    assert endless is not None
    assert endless.ends_s is None


@pytest.mark.parametrize(
    "words",
    [
        [],
        [""],
        ["nginx", "-g", "daemon off;"],
        ["/opt/echo", "hi"],
        ["echo", "$(GREETING)"],
        ["echo", "-e", "a"],
        ["sleep"],
        ["sleep", "soon"],
        ["sh"],
        ["sh", "-c"],
        ["sh", "-c", ""],
        ["sh", "-xc", "echo a"],
        ["sh", "-c", "echo $HOME"],
        ["sh", "-c", 'echo "$HOME"'],
        ["sh", "-c", "echo `date`"],
        ["sh", "-c", "echo a >"],
        ["sh", "-c", "> /tmp/b"],
        ["sh", "-c", "echo a 2> /tmp/b"],
        ["sh", "-c", "echo a > b > c"],
        ["sh", "-c", "echo a >& b"],
        ["sh", "-c", "cat /etc/passwd"],
        ["sh", "-c", "cat < /etc/passwd"],
        ["sh", "-c", f"echo {'x' * 9000} > a; cat a a a a a a > b; cat b b > c"],
        ["cat"],
        ["sh", "-c", "echo a | cat"],
        ["sh", "-c", "sleep 5 & echo a"],
        ["sh", "-c", "(echo a)"],
        ["sh", "-c", "echo *"],
        ["sh", "-c", "; echo a"],
        ["sh", "-c", "echo a &&"],
        ["sh", "-c", "echo 'a"],
        ["sh", "-c", "exit 1 2"],
        ["sh", "-c", "exit later"],
        ["sh", "-c", "while true; do echo a; done"],
        ["sh", "-c", "while true; do sleep 1; done &"],
        ["sh", "-c", "while true; do sleep 1; break; done"],
        ["sh", "-c", "while true; do done"],
        ["sh", "-c", "while; do sleep 1; done"],
        ["sh", "-c", "while true; sleep 1; done"],
        ["sh", "-c", "while true; do sleep 1"],
        ["sh", "-c", "i=0; while true; do i=$((i + 1)); done"],
        ["sh", "-c", "echo ${HOME:-x}"],
        ["sh", "-c", "echo $1"],
        ["sh", "-c", "echo {a,b}"],
        ["sh", "-c", "f() { echo $1; }; f"],
        ["sh", "-c", "f() { echo a"],
        ["sh", "-c", "f() echo a"],
        ["sh", "-c", "f() { return 3; }; f"],
        ["sh", "-c", "f() { f; }; f"],
        ["sh", "-c", "case a in a) echo b;; esac"],
        ["sh", "-c", "exit $(( $RANDOM / 16384 ))"],
        ["sh", "-c", "[ -r /data/a ]"],
        ["sh", "-c", "[ 1 -eq one ]"],
        ["sh", "-c", "[ a = a"],
        ["sh", "-c", "if true; then echo a"],
        ["sh", "-c", "if true; echo a; fi"],
        ["sh", "-c", "trap 'echo bye' EXIT"],
        ["sh", "-c", "A=1 env"],
        ["sh", "-c", "a=xx" + "; a=$a$a" * 60],
        ["sh", "-c", "a=xx" + '; a="$a$a"' * 14 + "; echo $a $a $a"],
        ["sh", "-c", "for i in 1 2; do " * 30 + "true; " + "done; " * 30],
        ["sh", "-c", "$(" * 30 + "true" + ")" * 30],
        ["expr", "1", "/", "0"],
        ["seq"],
        ["seq", "1", "0", "5"],
        ["seq", "-s", ",", "5"],
        ["seq", "1000000000"],
        ["hostname"],
        ["printenv", "HOME"],
        ["echo", "x" * 70_000],
    ],
)
def test_anything_else_is_not_guessed(words: list[str]) -> None:
    assert program(words, []) is None


@pytest.mark.parametrize(
    ("script", "output", "files"),
    [
        ("echo a > /tmp/b && sleep 1", "", {"/tmp/b": "a\n"}),
        ("echo a > b; echo c >> ./b; cat b; echo d > /b", "a\nc\n", {"/b": "d\n"}),
        ("echo a > '/x y'; exec cat '/x y'", "a\n", {"/x y": "a\n"}),
        ("false > /f || echo no > /dev/null; exit > /g", "", {"/f": "", "/g": ""}),
    ],
)
def test_output_may_go_to_files(script: str, output: str, files: dict[str, str]) -> None:
    found = program(["sh", "-c", script], [])
    assert found is not None
    assert ("".join(text for _, text in found.output), dict(found.files)) == (output, files)


def test_files_may_be_there_before() -> None:
    files = (("/tmp/a", "1\n"), ("/b", "2\n"))
    assert program(["cat", "/tmp/a", "b"], [], Surroundings(files=files)) == Program(
        ((0.0, "1\n2\n"),), 0.0, 0, files=files
    )
    assert program(["cat", "/tmp/a", "/c"], [], Surroundings(files=files)) is None


MARKED = """
    if [[ -r /data/foo-$JOB_COMPLETION_INDEX ]]
    then
        exit 0
    else
        touch /data/foo-$JOB_COMPLETION_INDEX
        exit 42
    fi
"""
"""A script in the shape of those of Kubernetes' own tests of Jobs."""


def test_a_directory_that_is_known_as_a_whole() -> None:
    around = Surroundings(whole=("/data",), variables=(("JOB_COMPLETION_INDEX", "3"),))
    first = program(["/bin/sh", "-c"], [MARKED], around)
    assert first == Program((), 0.0, 42, files=(("/data/foo-3", ""),))
    again = program(["/bin/sh", "-c"], [MARKED], around._replace(files=first.files))
    assert again == Program((), 0.0, 0, files=first.files)
    assert program(["/bin/sh", "-c"], [MARKED], around._replace(whole=())) is None
    unknown = around._replace(variables=(("JOB_COMPLETION_INDEX", None),))
    assert program(["/bin/sh", "-c"], [MARKED], unknown) is None


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("[ -d /data ] && [ ! -d /data/a ] && mkdir -p /data/a && [ -d /data/a ]", 0),
        ("[ -e /data/a ] || cat /data/a", 1),
        ("echo x > /data/a; [ -s /data/a ] && rm /data/a && rm -f /data/a && test -f /data/a", 1),
        ("rm /data/a", 1),
    ],
)
def test_files_in_it(script: str, code: int) -> None:
    found = program(["sh", "-c", script], [], Surroundings(whole=("/data",)))
    assert found is not None
    assert (found.exit_code, found.output, found.files) == (code, (), ())


def test_chance_is_given() -> None:
    codes = []
    for chance in range(200):
        found = program(
            ["sh", "-c", "exit $(( $RANDOM / 16384 ))"], [], Surroundings(chance=chance)
        )
        assert found is not None
        codes.append(found.exit_code)
    assert set(codes) == {0, 1}
    assert 60 < sum(codes) < 140


def test_names_and_variables() -> None:
    around = Surroundings(
        variables=(("A", "1"), ("B", None)), hostname="web-0", fqdn="web-0.web.ns.svc.cluster.local"
    )

    def output(*words: str) -> str | None:
        found = program(words, [], around)
        return None if found is None else "".join(text for _, text in found.output)

    assert output("hostname") == "web-0\n"
    assert output("hostname", "-f") == "web-0.web.ns.svc.cluster.local\n"
    assert output("sh", "-c", "echo $(hostname)-$A") == "web-0-1\n"
    assert output("echo", "$(A)", "$$(A)", "$(lower)") == "1 $(A) $(lower)\n"
    assert output("echo", "$(B)") is None
    assert output("echo", "$(C)") is None
    assert output("printenv", "A") == "1\n"
    assert output("env") is None
    assert program(["env"], [], around._replace(variables=(("A", "1"),))) == Program(
        ((0.0, "A=1\n"),), 0.0, 0
    )


@pytest.mark.parametrize(
    ("words", "endless"),
    [
        (["sh", "-c", "while true; do date; sleep 5; done"], True),
        (["/bin/sh", "-c", "\nwhile true;do date;sleep 5; done;\n"], True),
        (["bash", "-c", "until false\ndo\n curl -s x || true\ndone"], True),
        (["sh", "-c", "while true; do test -e /x && break; done"], False),
        (["sh", "-c", "while test -e x; do sleep 1; done"], False),
        (["sh", "-c", "while true; do date; done; echo b"], False),
        (["sh", "-ec", "while true; do date; done"], False),
        (["python", "-c", "while true; do date; done"], False),
        (["sh"], False),
    ],
)
def test_endless_loops(words: list[str], endless: bool) -> None:
    assert loops_for_ever(words, []) == loops_for_ever(words[:1], words[1:]) == endless
