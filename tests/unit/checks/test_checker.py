"""Checkers on a stream of records: what they count, what they find, and how a verdict tells it."""

from collections.abc import Iterator

from msgspec.structs import replace

from kubeherd.checks.api.watchpromises import WatchOrdered, WatchUnique
from kubeherd.checks.checker import MAX_VIOLATIONS, Checker, Watcher, check
from kubeherd.checks.live import Live
from kubeherd.checks.writes import WriteChecker
from kubeherd.history import Began, Record, Step, Told, Verb, Violation, Write
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


class Counted(WriteChecker):
    name = "counted"
    promise = "Nothing was there before."
    seen = 0

    def see(self, record: Record) -> Iterator[Violation]:
        self.seen += 1
        return super().see(record)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        if before is not None:
            yield self.violation(write, f"{write.name} was there")


class Judging(WriteChecker):
    name = "judging"
    promise = Counted.promise

    judge = Counted.judge


def test_who_only_judges_is_not_shown_what_was_there_before_and_knows_it():
    judging = Judging()
    watcher = Watcher([lambda: judging, Counted])
    assert not watcher.see(replace(write("pods", "a"), restored=True))
    assert [one.text for one in watcher.see(write("pods", "a", 1))] == ["a was there"] * 2
    assert not judging.looks_at(replace(write("pods", "a"), restored=True))


def test_watchers_of_one_stream_may_share_its_state():
    live = Live()
    first, second = Watcher([OnlyPods], live), Watcher([Judging], live)
    for record in (write("pods", "a"), write("pods", "a", 1, Verb.DELETE), write("pods", "b", 2)):
        assert not first.see(record)
        second.see(record)
    assert list(live.all("pods")) == ["b"]
    assert [one.text for one in second.verdict.violations] == ["a was there"]


def test_what_watches_were_told_is_kept_once_for_all_promises_about_them():
    watcher = Watcher([WatchOrdered, WatchUnique])
    for record in (
        Began(at=0, source="test", revision=1),
        write("pods", "a", 2),
        Told(at=2, observer="x", watch=1, type="BEGIN", resource="pods", revision=1),
        Told(at=3, observer="x", watch=1, type="ADDED", resource="pods", name="a", revision=2),
        Told(at=4, observer="x", watch=1, type="ADDED", resource="pods", name="a", revision=2),
    ):
        assert not watcher.see(record)
    assert [one.promise for one in watcher.end()] == ["watch-unique"]
    assert all(one.looked_at for one in watcher.verdict.checked)
