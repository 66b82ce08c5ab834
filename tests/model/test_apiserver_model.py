"""The API server against a simple model: whatever is asked, both answer and keep the same.

The model learns from the server only what the server chooses: uids, generated names and revisions.
KUBEHERD_MODEL_EXAMPLES=500 makes it look for longer, at other cases each time.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import pytest
from apiserverkinds import KINDS, LABEL_SETS, NAMES, NAMESPACES, SELECTORS, Kind, prepared
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from referencemodel import Key, Model, Object

from kubeherd.cluster.apiserver.write import deletion
from kubeherd.cluster.store.watch import hub
from kubeherd.cluster.store.watch.deliveries import Delivery, deliver

EXAMPLES = int(os.environ.get("KUBEHERD_MODEL_EXAMPLES", "0"))
KIND = st.sampled_from(KINDS)
NAMESPACE = st.sampled_from(NAMESPACES)
NAME = st.sampled_from(NAMES)
PICK = st.integers(0, 40)
"""Which object a request is about: mostly one that is there."""
ABSENT = 36
LABELS = st.sampled_from(LABEL_SETS)
SELECTOR = st.sampled_from(SELECTORS)
FINALIZERS = st.sampled_from([[], [], [], ["a.b/x"], ["a.b/x", "a.b/y"]])
VALUE = st.integers(1, 3)
DRY = st.sampled_from([False, False, False, True])
WRONG = st.sampled_from(["", "", "", "revision", "uid"])
"""Which precondition of a write is not met."""
PATCHES = st.sampled_from(["merge", "json", "strategic", "apply"])
OTHER_UID = "11111111-2222-3333-4444-555555555555"
CLOSING = "z"


class ApiMachine(RuleBasedStateMachine):
    """Requests of all kinds, in any order."""

    @initialize()
    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.model = Model()
        self.tokens = count(1)
        self.pages: list[tuple[str, str, list[str]]] = []
        self.touched = KINDS[0]
        self.cluster = self.runner.run(self.stack.enter_async_context(prepared()))
        self.begun = self.revision

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.stack.aclose())
            self.runner.close()

    @property
    def revision(self) -> int:
        return self.cluster.store.revision

    def picked(self, pick: int) -> tuple[Kind, Key]:
        """One of the objects, or one that may not be there."""
        keys = sorted(self.model.objects)
        if keys and pick < ABSENT:
            key = keys[pick % len(keys)]
            return next(kind for kind in KINDS if kind.plural == key[0]), key
        kind = KINDS[pick % len(KINDS)]
        return kind, (kind.plural, NAMESPACES[0], NAMES[0])

    # --- requests, and what they leave ---

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        return self.runner.run(self.cluster.call(method, path, body, **options))

    def write(
        self, kind: Kind, method: str, path: str, body: Any, *, dry: bool, **more: Any
    ) -> tuple[Any, int]:
        """The answer, and how many revisions the store has more."""
        self.touched, before = kind, self.revision
        query = {**more.pop("query", {}), **({"dryRun": "All"} if dry else {})}
        answer = self.ask(method, path, body, query=query, **more)
        return answer, self.revision - before

    def agree(
        self, key: Key, expected: tuple[int, Object | None], answer: Any, written: int, *, dry: bool
    ) -> None:
        """The answer has the status of the model, and what is stored is what it says."""
        status, new = expected
        assert answer.status == status, (key, status, answer.tree)
        if status >= 400 or dry:
            assert written == 0, "what is refused or tried is not stored"
            return
        old = self.model.objects.get(key)
        owners_only = new == old and self.applied and written == 1
        assert written == self.model.writes(key, new) or owners_only, (key, old, new, answer.tree)
        if written:
            self.model.store(key, new, self.revision)

    applied = False
    """Whether the last write may have changed the owners of fields only."""

    @rule(kind=KIND, ns=NAMESPACE, name=NAME, labels=LABELS, finalizers=FINALIZERS, value=VALUE,
          dry=DRY, owned=st.booleans())  # fmt: skip
    def create(
        self, kind: Kind, ns: str, name: str, labels: Any, finalizers: Any, value: int, dry: bool,
        owned: bool,
    ) -> None:  # fmt: skip
        key, new = (kind.plural, ns, name), Object(dict(labels), list(finalizers), value)
        tree = kind.tree(name, new)
        if owned:
            new.owner = OTHER_UID
            reference = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": OTHER_UID}
            tree["metadata"]["ownerReferences"] = [reference]
        status = self.model.create(key)
        answer, written = self.write(kind, "POST", kind.path(ns), tree, dry=dry)
        if status == 201 == answer.status:
            new.uid, new.status = kind.seen(answer.tree).uid, kind.first_status
        self.agree(key, (status, new), answer, written, dry=dry)

    @rule(kind=KIND, ns=NAMESPACE, dry=DRY)
    def generate(self, kind: Kind, ns: str, dry: bool) -> None:
        new = Object(value=1, status=kind.first_status)
        tree = kind.tree("", new)
        tree["metadata"] = {"generateName": "gen-"}
        status = self.model.create((kind.plural, ns, ""))
        answer, written = self.write(kind, "POST", kind.path(ns), tree, dry=dry)
        key = (kind.plural, ns, answer.tree["metadata"].get("name", ""))
        if status == 201 == answer.status:
            assert key[2].startswith("gen-")
            assert key not in self.model.objects
            new.uid = kind.seen(answer.tree).uid
        self.agree(key, (status, new), answer, written, dry=dry)

    @rule(pick=PICK, labels=LABELS, finalizers=FINALIZERS, value=VALUE,
          dry=DRY, wrong=WRONG)  # fmt: skip
    def update(
        self, pick: int, labels: Any, finalizers: Any, value: int, dry: bool,
        wrong: str,
    ) -> None:  # fmt: skip
        kind, key = self.picked(pick)
        _, ns, name = key
        tree = self.ask("GET", kind.path(ns, name)).tree
        if key not in self.model.objects:
            tree = kind.tree(name, Object())
            tree["metadata"] |= {"uid": OTHER_UID, "resourceVersion": "1"}
        old = self.model.objects.get(key)
        revision, uid = (old.revision, old.uid) if old else (0, "")
        if wrong == "revision":
            revision = tree["metadata"]["resourceVersion"] = 1
            tree["metadata"]["resourceVersion"] = "1"
        elif wrong == "uid":
            uid = tree["metadata"]["uid"] = OTHER_UID

        def mutate(one: Object) -> None:
            one.labels, one.finalizers, one.value = dict(labels), list(finalizers), value

        tree["metadata"] |= {"labels": dict(labels), "finalizers": list(finalizers)}
        kind.set(tree, value)
        expected = self.model.change(key, mutate, revision=int(revision), uid=uid)
        answer, written = self.write(kind, "PUT", kind.path(ns, name), tree, dry=dry)
        self.agree(key, expected, answer, written, dry=dry)

    @rule(pick=PICK, app=st.sampled_from(["a", "b"]), value=VALUE,
          how=PATCHES, dry=DRY, wrong=WRONG)  # fmt: skip
    def patch(self, pick: int, app: str, value: int, how: str, dry: bool, wrong: str) -> None:
        kind, key = self.picked(pick)
        _, ns, name = key

        def mutate(one: Object) -> None:
            one.labels = {"app": app} if how == "json" else {**one.labels, "app": app}
            one.value = value

        guards = {"revision": 1} if wrong == "revision" else {"uid": OTHER_UID} if wrong else {}
        expected = self.model.change(key, mutate, **guards if how != "json" else {})
        if expected[0] == 409 and "uid" in guards:
            expected = 422, None  # of a patch it is no precondition, but a field that is immutable
        media, body, query = kind.patch(how, name, app, value)
        if how == "strategic" and not kind.is_built_in:
            expected = 415, None
        elif how != "json":
            names = {"revision": "resourceVersion", "uid": "uid"}
            body["metadata"] |= {names[guard]: str(to) for guard, to in guards.items()}
        if how == "apply" and key not in self.model.objects:
            made = Object({"app": app}, value=value, status=kind.first_status)
            # a revision of nothing does not matter, a uid of nothing does
            expected = 409 if "uid" in guards else self.model.create(key), made
        answer, written = self.write(
            kind, "PATCH", kind.path(ns, name), body, dry=dry, query=query, content_type=media
        )
        if answer.status == 201:
            made.uid = kind.seen(answer.tree).uid
        self.applied = how == "apply"
        self.agree(key, expected, answer, written, dry=dry)
        self.applied = False

    @rule(pick=PICK, status=VALUE, dry=DRY)
    def set_status(self, pick: int, status: int, dry: bool) -> None:
        """A status subresource takes the status and leaves the spec."""
        kind, key = self.picked(pick)
        _, ns, name = key

        def mutate(one: Object) -> None:
            one.status = kind.status_value(status)

        expected = self.model.change(key, mutate) if kind.has_status else (404, None)
        tree = kind.status_patch(status)
        path = f"{kind.path(ns, name)}/status"
        answer, written = self.write(
            kind, "PATCH", path, tree, dry=dry, content_type="application/merge-patch+json"
        )
        self.agree(key, expected, answer, written, dry=dry)

    @rule(ns=NAMESPACE, name=NAME, value=VALUE)
    def scale(self, ns: str, name: str, value: int) -> None:
        kind = KINDS[-1]
        key = (kind.plural, ns, name)
        path = f"{kind.path(ns, name)}/scale"

        def mutate(one: Object) -> None:
            one.value = value

        tree = {"spec": {"replicas": value}}
        expected = self.model.change(key, mutate)
        answer, written = self.write(
            kind, "PATCH", path, tree, dry=False, content_type="application/merge-patch+json"
        )
        self.agree(key, expected, answer, written, dry=False)
        if answer.status == 200:
            assert answer.tree["spec"]["replicas"] == value

    @rule(pick=PICK, dry=DRY, wrong=WRONG)
    def delete(self, pick: int, dry: bool, wrong: str) -> None:
        kind, key = self.picked(pick)
        _, ns, name = key
        guards = {"revision": 1} if wrong == "revision" else {"uid": OTHER_UID} if wrong else {}
        names = {"revision": "resourceVersion", "uid": "uid"}
        conditions = {names[guard]: str(to) for guard, to in guards.items()}
        body = {"gracePeriodSeconds": 0, "preconditions": conditions}
        expected = self.model.delete(key, **guards)
        body |= {"dryRun": ["All"]} if dry else {}
        answer, written = self.write(kind, "DELETE", kind.path(ns, name), body, dry=False)
        self.agree(key, expected, answer, written, dry=dry)

    @rule(kind=KIND, ns=NAMESPACE, selector=SELECTOR)
    def delete_collection(self, kind: Kind, ns: str, selector: dict[str, str]) -> None:
        chosen = self.model.listed(kind.plural, ns, selector, self.revision)
        before = self.revision
        query = {"labelSelector": ",".join(f"{k}={v}" for k, v in selector.items())}
        answer, _ = self.write(
            kind, "DELETE", kind.path(ns), {"gracePeriodSeconds": 0}, dry=False, query=query
        )
        assert answer.status == 200
        assert [item["metadata"]["name"] for item in answer.tree["items"]] == [
            key[2] for key, _ in chosen
        ]
        at = before
        for key, old in chosen:
            _, new = self.model.delete(key)
            at += self.model.writes(key, new)
            if new != old:
                self.model.store(key, new, at)
        assert self.revision == at

    # --- a namespace that ends ---

    @precondition(lambda self: CLOSING not in self.model.closed)
    @rule()
    def close(self) -> None:
        assert self.ask("DELETE", f"/api/v1/namespaces/{CLOSING}").status == 200
        self.model.closed[CLOSING] = 403

    @precondition(lambda self: self.model.closed.get(CLOSING) == 403)
    @rule()
    def finalize(self) -> None:
        path = f"/api/v1/namespaces/{CLOSING}"
        tree = self.ask("GET", path).tree
        tree["spec"] = {"finalizers": []}
        assert self.ask("PUT", f"{path}/finalize", tree).status == 200
        assert self.ask("GET", path).status == 404
        self.model.closed[CLOSING] = 404

    # --- reads ---

    @rule(kind=KIND, ns=st.sampled_from(["", *NAMESPACES]), back=st.integers(0, 20))
    def read_the_past(self, kind: Kind, ns: str, back: int) -> None:
        """Lists as of a revision, and watches from there on, with each selector."""
        revision = max(self.revision - back, self.begun)
        for selector in SELECTORS:
            query = {
                "labelSelector": ",".join(f"{key}={value}" for key, value in selector.items()),
                "resourceVersion": str(revision),
            }
            exact = {**query, "resourceVersionMatch": "Exact"}
            listed = self.ask("GET", kind.path(ns), query=exact).tree
            expected = self.model.listed(kind.plural, ns, selector, revision)
            assert [kind.seen(item) for item in listed["items"]] == [one for _, one in expected]
            poll = {**query, "watch": "1", "poll": "1", "timeoutSeconds": "0"}
            told = self.ask("GET", kind.path(ns), query=poll).tree["events"]
            metas = [(event["type"], event["object"]["metadata"]) for event in told]
            assert [
                (type_, meta["name"], int(meta["resourceVersion"])) for type_, meta in metas
            ] == list(self.model.events(kind.plural, ns, selector, revision))

    @rule(kind=KIND, ns=st.sampled_from(["", *NAMESPACES]), limit=st.integers(1, 3))
    def begin_pages(self, kind: Kind, ns: str, limit: int) -> None:
        listed = self.ask("GET", kind.path(ns), query={"limit": str(limit)}).tree
        names = [key[2] for key, _ in self.model.listed(kind.plural, ns, {}, self.revision)]
        assert [item["metadata"]["name"] for item in listed["items"]] == names[:limit]
        token = listed["metadata"].get("continue", "")
        assert bool(token) == (len(names) > limit)
        if token:
            self.pages.append((kind.path(ns), token, names[limit:]))

    @precondition(lambda self: self.pages)
    @rule(limit=st.integers(1, 3))
    def next_page(self, limit: int) -> None:
        """A list goes on as it was when it began, whatever has been written meanwhile."""
        path, token, names = self.pages.pop(0)
        listed = self.ask("GET", path, query={"limit": str(limit), "continue": token}).tree
        assert [item["metadata"]["name"] for item in listed["items"]] == names[:limit]
        token = listed["metadata"].get("continue", "")
        assert bool(token) == (len(names) > limit)
        if token:
            self.pages.append((path, token, names[limit:]))

    @invariant()
    def the_present_is_the_model(self) -> None:
        if not hasattr(self, "cluster"):
            return
        kind = self.touched
        listed = self.ask("GET", kind.path("")).tree
        expected = self.model.listed(kind.plural, "", {}, self.revision)
        assert [kind.seen(item) for item in listed["items"]] == [one for _, one in expected]
        revisions = [int(item["metadata"]["resourceVersion"]) for item in listed["items"]]
        assert revisions == [one.revision for _, one in expected]


def explore(examples: int, *, shrink: bool = True) -> None:
    """Let the machine run; AssertionError with the shortest story in which both disagree."""
    run_state_machine_as_test(
        ApiMachine,
        settings=settings(
            max_examples=EXAMPLES or examples,
            stateful_step_count=40,
            phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
            deadline=None,
            database=None,
            derandomize=not EXAMPLES,
            print_blob=bool(EXAMPLES),
        ),
    )


@pytest.mark.timeout(0 if EXAMPLES else 120)
def test_the_api_server_agrees_with_the_model() -> None:
    explore(30)


def _without(module: Any, name: str, with_: Callable[..., Any]) -> Callable[[Any], None]:
    def mutate(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, name, with_)

    return mutate


MUTANTS = {
    "preconditions are not looked at": _without(deletion, "check_preconditions", lambda *_: None),
    "who stops matching is not told": _without(
        hub, "deliver", lambda event, wanted: _only_matching(deliver(event, wanted))),
}  # fmt: skip


def _only_matching(delivery: Delivery | None) -> Delivery | None:
    return None if delivery is None or delivery.left else delivery


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.skipif(bool(EXAMPLES), reason="a long run looks at the server as it is")
def test_a_server_that_does_otherwise_is_found(
    mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTANTS[mutant](monkeypatch)
    with pytest.raises(AssertionError):
        explore(40, shrink=False)
