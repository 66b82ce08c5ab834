"""Checkers on a stream of records: what they count, what they find, and how a verdict tells it."""

from collections.abc import Iterator

from kubeherd.checks.checker import MAX_VIOLATIONS, Checker, Watcher, check
from kubeherd.checks.writes import WriteChecker
from kubeherd.history import Record, Step, Verb, Violation, Write
from kubeherd.history.records import Object


class NoBadStep(Checker):
    name = "no-bad-step"
    promise = "No step is bad, and one is good."

    def __init__(self) -> None:
        super().__init__()
        self._good = False

    def see(self, record: Record) -> Iterator[Violation]:
        if isinstance(record, Step):
            self.looked_at += 1
            self._good |= record.name == "good"
            if record.name == "bad":
                yield self.violation(record, "a bad step", "steps x")

    def end(self) -> Iterator[Violation]:
        if not self._good:
            yield Violation(at=0, promise=self.name, text="no good step came")


def steps(*names: str) -> list[Record]:
    return [Step(at=float(at), name=name) for at, name in enumerate(names)]


def test_a_good_history_passes_and_says_how_much_was_looked_at():
    verdict = check(steps("good", "good"), [NoBadStep])
    assert not verdict.violations
    assert (verdict.checked[0].looked_at, verdict.unchecked) == (2, [])


def test_a_violation_is_found_at_its_record():
    watcher = Watcher([NoBadStep])
    found = [watcher.see(record) for record in steps("good", "bad", "good")]
    assert [len(one) for one in found] == [0, 1, 0]
    assert found[1][0] == Violation(
        at=1.0, promise="no-bad-step", text="a bad step", objects=("steps x",)
    )
    assert watcher.verdict.violations == found[1]


def test_what_did_not_come_is_found_at_the_end_and_no_data_is_said():
    verdict = check([], [NoBadStep])
    assert [violation.text for violation in verdict.violations] == ["no good step came"]
    assert verdict.unchecked == ["no-bad-step"]


def test_so_many_violations_are_kept_and_no_more():
    verdict = check(steps(*["bad"] * (MAX_VIOLATIONS + 5)), [NoBadStep])
    assert len(verdict.checked[0].violations) == MAX_VIOLATIONS


class OnlyPods(WriteChecker):
    name = "only-pods"
    promise = "Nothing is wrong with pods, and in the end there are none."
    resources = frozenset({"pods"})

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        self.looked_at += 1
        return iter(())

    def see(self, record: Record) -> Iterator[Violation]:
        if isinstance(record, Step):
            self.looked_at += 1
            yield from (self.violation(record, name) for name in self.live.all("pods"))
        yield from super().see(record)


class NoSecretsMore(OnlyPods):
    name = "no-secrets"
    resources = frozenset({"pods", "secrets"})


def write(resource: str, name: str, at: float = 0.0, verb: Verb = Verb.CREATE) -> Write:
    tree = {"metadata": {"name": name}}
    return Write(at=at, revision=int(at), verb=verb, resource=resource, name=name, object=tree)


def test_each_checker_sees_the_writes_that_it_needs_and_the_same_state():
    watcher = Watcher([OnlyPods, NoSecretsMore])
    for record in (write("pods", "a"), write("secrets", "b"), write("nodes", "c")):
        assert not watcher.see(record)
    assert [one.looked_at for one in watcher.verdict.checked] == [1, 2]
    assert [one.text for one in watcher.see(Step(at=1, name="end"))] == ["a", "a"]


def test_a_trial_says_what_a_step_would_show_and_leaves_no_trace():
    watcher = Watcher([OnlyPods])
    watcher.see(write("pods", "a"))
    for _ in range(2):
        assert [one.text for one in watcher.trial(Step(at=1, name="end"))] == ["a"]
    assert not watcher.verdict.violations
    assert watcher.verdict.checked[0].looked_at == 1
    watcher.see(write("pods", "a", 2, Verb.DELETE))
    assert not watcher.trial(Step(at=3, name="end"))
