"""`kubeherd check`: the order of events, the user's own promises, what is printed, exit codes."""

from pathlib import Path

import msgspec
import pytest
import stories
from click.testing import CliRunner

from kubeherd.chaos.checking import usercheckers
from kubeherd.chaos.checking.command import check
from kubeherd.chaos.checking.telling import AFTER, BEFORE, Surroundings, line, table
from kubeherd.chaos.checking.usercheckers import UserCheckError
from kubeherd.checks import checker
from kubeherd.checks.checker import Watcher
from kubeherd.cluster.client.discovery import resources_of, wanted
from kubeherd.faults import Component, Fault
from kubeherd.faults.effects import Crash
from kubeherd.history import (
    FaultBegan,
    FaultEnded,
    Leads,
    Process,
    Record,
    Step,
    Verb,
    Write,
    files,
)


def write(revision: int, resource: str = "pods", at: float = 0.0, name: str = "a") -> Write:
    return Write(
        at=at, revision=revision, verb=Verb.UPDATE, resource=resource, namespace="x", name=name,
        object={"metadata": {"name": name, "namespace": "x"}, "spec": {"replicas": revision}},
    )  # fmt: skip


def test_what_is_watchable_is_taken_and_twins_are_not():
    can = ["get", "list", "watch"]
    answer = {
        "resources": [
            {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": can},
            {"name": "pods/status", "kind": "Pod", "namespaced": True, "verbs": can},
            {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]},
        ]
    }
    pods = resources_of("", "v1", answer)
    assert [one.path() for one in pods] == ["/api/v1/pods"]
    event = {"name": "events", "kind": "Event", "namespaced": True, "verbs": can}
    assert not resources_of("events.k8s.io", "v1", {"resources": [event]})
    events = resources_of("", "v1", {"resources": [event]})
    assert wanted([*pods, *events], frozenset({"pods"})) == pods
    assert wanted([*pods, *events], frozenset({"*"})) == [*pods, *events]


# --- the user's own ---

MODULE = '''
def check(history):
    """No more than two writes."""
    writes = [record for record in history if type(record).__name__ == "Write"]
    return f"{len(writes)} writes" if len(writes) > 2 else None

class Checker:
    """No revision is 13."""
    def see(self, record):
        return getattr(record, "revision", 0) != 13
    def end(self):
        yield "it ended"

broken = 3
'''


@pytest.fixture
def module(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MODULE)
    return file


def test_a_function_sees_the_whole_history(module: Path):
    watcher = Watcher([usercheckers.from_python(f"{module}:check", live=False)])
    assert [watcher.see(write(revision)) for revision in (1, 2, 3)] == [[], [], []]
    (violation,) = watcher.end()
    assert (violation.text, violation.promise) == ("3 writes", f"{module}:check")
    assert watcher.verdict.checked[0].promise == "No more than two writes."


def test_an_object_sees_each_record_live(module: Path):
    watcher = Watcher([usercheckers.from_python(f"{module}:Checker", live=True)])
    assert watcher.see(write(12)) == []
    assert [one.revision for one in watcher.see(write(13))] == [13]
    assert [one.text for one in watcher.end()] == ["it ended"]


@pytest.mark.parametrize("body", ["return 1 / 0", "yield 'once'; 1 / 0"], ids=["now", "later"])
@pytest.mark.parametrize("where", ["check", "Checker"])
def test_a_checker_that_fails_is_named(tmp_path: Path, where: str, body: str):
    file = tmp_path / "failing.py"
    file.write_text(
        f"def check(history):\n    {body}\n\n"
        f"class Checker:\n    def see(self, record):\n        {body}\n"
    )
    make = usercheckers.from_python(f"{file}:{where}", live=False)
    with pytest.raises(UserCheckError, match=rf"failing\.py:{where}: ZeroDivisionError"):
        checker.check([write(1)], [make])


@pytest.mark.parametrize(
    ("where", "live", "text"),
    [
        ("mine.py:check", True, "a live cluster needs"),
        ("mine.py:broken", False, "is not a class"),
        ("mine.py:other", False, "AttributeError"),
        ("none.py:check", False, "no Python file"),
        ("nothing", False, "is not FILE.py:NAME"),
    ],
)
def test_what_is_no_checker_is_refused(module: Path, where: str, live: bool, text: str):
    place = f"{module.parent}/{where}" if ":" in where else where
    with pytest.raises(usercheckers.UserCheckError, match=text):
        usercheckers.from_python(place, live=live)


def test_an_expression_is_evaluated_on_every_write_of_its_resource():
    watcher = Watcher([usercheckers.from_cel("object.spec.replicas < 3", "pods")])
    found = [watcher.see(write(revision)) for revision in (1, 2, 3)]
    assert [len(one) for one in found] == [0, 0, 1]
    assert found[2][0].text == "pods x/a: is false"
    assert watcher.see(write(4, "nodes")) == []
    assert watcher.verdict.checked[0].looked_at == 3


def test_an_expression_knows_the_object_before_and_may_fail():
    expression = "oldObject == null || object.spec.replicas > oldObject.spec.replicas"
    watcher = Watcher(
        [usercheckers.from_cel(expression, "pods"), usercheckers.from_cel("object.x == 1", "pods")]
    )
    assert [one.text for one in watcher.see(write(1))] == ["pods x/a: no such key: x"]
    watcher.see(write(5))
    assert next(one.text for one in watcher.see(write(4))) == "pods x/a: is false"


@pytest.mark.parametrize(("expression", "text"), [("object.", "Syntax"), ("1 + 1", "is a int")])
def test_an_expression_that_is_none_is_refused(expression: str, text: str):
    with pytest.raises(usercheckers.UserCheckError, match=text):
        usercheckers.from_cel(expression, "pods")


def test_the_example_of_the_page_works(tmp_path: Path):
    page = Path(__file__).parents[3] / "docs" / "reference" / "checkers.md"
    (tmp_path / "mine.py").write_text(page.read_text().split("```python")[1].split("```")[0])
    watcher = Watcher([usercheckers.from_python(f"{tmp_path}/mine.py:NoLatest", live=True)])
    pod = write(7)
    images = [{"image": "web:1"}, {"image": "db:latest"}]
    pod = msgspec.structs.replace(pod, object={**pod.object, "spec": {"containers": images}})
    assert [one.text for one in watcher.see(pod)] == ["x/a runs db:latest"]


# --- what is printed ---


def test_a_violation_is_shown_with_what_was_around_it():
    watcher = Watcher([usercheckers.from_cel("object.spec.replicas != 30", "pods")])
    around = Surroundings()
    for revision in range(60):
        record = write(revision, at=float(revision))
        around.see(record, watcher.see(record))
    assert around.complete
    first, *rest = around.lines()
    assert "is broken at revision 30: pods x/a: is false" in first
    assert len(rest) == BEFORE + AFTER
    marked = [one for one in rest if one.startswith(">")]
    assert marked == ["> 00:00:30.000       30  update pods x/a (no phase)"]
    assert rest.index(marked[0]) == BEFORE - 1


def test_what_people_do_and_suffer_is_in_the_story():
    fault = Fault(id="f", target=Component(name="apiserver"), effect=Crash())
    records: list[Record] = [
        FaultBegan(at=0, fault=fault), FaultEnded(at=0, id="f"),
        Leads(at=0, lease="kube-system/x", holder="", revision=7),
        Process(at=0, name="apiserver", running=False, why="killed"), Step(at=0, name="heal"),
    ]  # fmt: skip
    told = [line(record).split(maxsplit=1)[1] for record in records]
    assert told == [
        "fault  crash apiserver", "healed f", "7  leads  nobody (kube-system/x)",
        "apiserver ended (killed)", "step   heal",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ({"holderIdentity": "n1", "renewTime": "2"}, False),
        ({"holderIdentity": "a", "acquireTime": "1", "renewTime": "2"}, False),
        ({"holderIdentity": "b", "acquireTime": "2", "renewTime": "2"}, True),
        ({"holderIdentity": "", "acquireTime": "1", "renewTime": "2"}, True),
    ],
)
def test_of_leases_the_story_has_only_who_takes_and_leaves_them(spec: dict, shown: bool):
    lease = write(3, "leases.coordination.k8s.io")
    lease = msgspec.structs.replace(lease, object={**lease.object, "spec": spec})
    assert bool(line(lease)) == shown


def test_the_table_tells_what_was_kept_broken_and_not_checked():
    watcher = Watcher(
        [
            usercheckers.from_cel(f"object.spec.replicas < {n}", r)
            for n, r in ((9, "pods"), (2, "pods"), (1, "nodes"))
        ]
    )
    for revision in (1, 2, 3):
        watcher.see(write(revision))
    states = [one.split("  ", 1)[1].strip() for one in table(watcher.verdict)]
    assert states == [
        "kept, looked at 3 times", "BROKEN: pods x/a: is false (and 1 more)",
        "not checked: nothing spoke of it",
    ]  # fmt: skip


# --- the command ---


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(check, arguments)
    return result.exit_code, result.output


@pytest.fixture
def history(tmp_path: Path) -> Path:
    story = stories.honest()
    file = tmp_path / "run.jsonl"
    files.write(file, story.end())
    return file


def test_a_recorded_run_without_violations_passes(history: Path):
    code, output = run("--history", str(history), "--skip", "watch-typed")
    assert code == 0
    assert "daemonset-budget" in output
    assert "watch-typed" not in output
    assert "nodes-recover                            not checked" in output


def test_the_end_of_a_recorded_run_may_be_where_all_has_converged(history: Path):
    arguments = ["--history", str(history), "--only", "nodes-recover", "--settled"]
    code, output = run(*arguments)
    assert (code, "kept, looked at 3 times" in output) == (0, True)
    story = stories.honest()
    status = {"conditions": [{"type": "Ready", "status": "False"}]}
    story.change("nodes", story.get("nodes", "n1", ""), status=status)
    files.write(history, story.end())
    code, output = run(*arguments)
    assert (code, "nodes-recover is broken: node n1 is not Ready" in output) == (1, True)


def test_a_violation_ends_with_1_and_its_story(history: Path):
    story = stories.honest()
    story.delete("namespaces", story.get("namespaces", "default", ""))
    files.write(history, story.end())
    code, output = run("--history", str(history), "--only", "namespaces-are-empty-when-they-go")
    assert code == 1
    assert "namespaces-are-empty-when-they-go is broken at revision" in output
    assert any(told.startswith("> ") for told in output.splitlines())


def test_a_promise_of_the_users_own_is_judged_too(history: Path, module: Path):
    code, output = run("--history", str(history), "--python", f"{module}:check")
    assert code == 1
    assert "writes" in output


def test_the_history_of_a_cluster_is_judged_with_what_its_supervisor_wrote(tmp_path: Path):
    module, history = tmp_path / "mine.py", tmp_path / "history.jsonl"
    module.write_text(
        "def check(history):\n    return ','.join(type(one).__name__ for one in history)"
    )
    files.write(history, [Step(at=2.0, name="rolled out")])
    files.write(tmp_path / files.SUPERVISOR, [Process(at=1.0, name="node-1", running=False)])
    _, output = run("--history", str(history), "--python", f"{module}:check")
    assert "is broken: Process,Step" in output


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--history", "none.jsonl"], 1, "cannot read none.jsonl"),
        (["--only", "x"], 2, "there is no promise 'x'"),
        (["--cel", "true"], 2, "every --cel needs a --resource"),
        (["--for", "soon"], 2, "invalid duration"),
        (["--list"], 0, "daemonset-one-pod-per-node"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], code: int, text: str):
    found, output = run(*arguments)
    assert (found, text in output) == (code, True)
