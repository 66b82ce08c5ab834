"""What is known of a container's command: as dash and busybox run it, or nothing."""

from itertools import islice

import pytest

from kubeherd.cluster.api.helpers.commands import (
    Program,
    loops_for_ever,
    program,
)


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
    ],
)
def test_loops(script: str, told: list[str], ends_s: float | None, code: int) -> None:
    known = program(["sh", "-c", script], [])
    assert known is not None
    shown = [f"{at_s:g} {text.rstrip()}" for at_s, text in islice(known.told(), 3)]
    assert (shown, known.ends_s, known.exit_code) == (told, ends_s, code)


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
        ["sh", "-c", "echo ';'"],
        ["sh", "-c", "; echo a"],
        ["sh", "-c", "echo a &&"],
        ["sh", "-c", "echo 'a"],
        ["sh", "-c", "exit 1 2"],
        ["sh", "-c", "exit later"],
        ["sh", "-c", "while true; do echo a; done"],
        ["sh", "-c", "while true; do sleep 1; done; echo never"],
        ["sh", "-c", "while true; do sleep 1; done &"],
        ["sh", "-c", "while true; do sleep 1; break; done"],
        ["sh", "-c", "while true; do while true; do sleep 1; done; done"],
        ["sh", "-c", "false || while true; do sleep 1; done"],
        ["sh", "-c", "while true; do done"],
        ["sh", "-c", "while; do sleep 1; done"],
        ["sh", "-c", "while true; sleep 1; done"],
        ["sh", "-c", "while true; do sleep 1"],
        ["sh", "-c", "for i in 1 2; do echo a; done"],
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
    assert program(["cat", "/tmp/a", "b"], [], files) == Program(
        ((0.0, "1\n2\n"),), 0.0, 0, files=files
    )
    assert program(["cat", "/tmp/a", "/c"], [], files) is None


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
