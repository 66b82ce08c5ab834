"""The binder's plans over generated clusters: what holds in any order, and with any crash between.

The plans are carried out write by write, in a random order of claims and volumes, and a plan may
stop after any write, as when the controller dies. Whatever happened, further syncs must come to a
fixed point in which bindings are complete, and nobody's volume was ever given away.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_objects import Store, claim, storage_class, volume

from kubeherd.cluster.api.helpers import volumebinding
from kubeherd.cluster.api.storageobjects import PersistentVolume, PersistentVolumeClaim
from kubeherd.controller.volume.binding import Delete, Plan, Update

EXAMPLES = int(os.environ.get("KUBEHERD_MODEL_EXAMPLES", "60"))
CLASSES = ["", "fast", "late"]
SIZES = ["1Gi", "2Gi", "3Gi"]
MODES = [["ReadWriteOnce"], ["ReadWriteOnce", "ReadOnlyMany"]]


@st.composite
def clusters(draw: st.DrawFn) -> Store:
    """Up to four claims and four volumes, some reserved for each other by their creators."""
    numbers = st.integers(0, 4)
    claims = [
        claim(
            f"c{n}",
            size=draw(st.sampled_from(SIZES)),
            storage_class=draw(st.sampled_from(CLASSES)),
            to=draw(st.sampled_from(["", "", "", "v0", "v1"])),
        )
        for n in range(draw(numbers))
    ]
    volumes = [
        volume(
            f"v{n}",
            size=draw(st.sampled_from(SIZES)),
            storage_class=draw(st.sampled_from(CLASSES)),
            of=draw(st.sampled_from(["", "", "", "c0", "c1"])),
            phase=draw(st.sampled_from(["Pending", "Available"])),
            policy=draw(st.sampled_from(["Delete", "Retain", "Recycle"])),
            accessModes=draw(st.sampled_from(MODES)),
        )
        for n in range(draw(numbers))
    ]
    late = storage_class("late", volumeBindingMode="WaitForFirstConsumer")
    return Store(*claims, *volumes, storage_class(), late)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 7), st.sampled_from(["sync", "sync", "crash", "delete"]), st.integers(0, 3)
    ),
    max_size=25,
)


def bindings(store: Store) -> dict[str, str]:
    return {c.metadata.uid: c.volume_name for c in store.claims.values() if c.bind_completed}


def play(store: Store, steps: list[tuple[int, str, int]]) -> None:
    """Carry out the steps, and look after each that no binding was changed."""
    before = bindings(store)
    for number, what, writes in steps:
        names = sorted([*store.claims, *store.volumes])
        if not names:
            return
        name = names[number % len(names)]
        if what == "delete":
            store.claims.pop(name, None)
        else:
            store.sync(name, writes=writes if what == "crash" else None)
        now = bindings(store)
        assert all(now.get(uid, volume_name) == volume_name for uid, volume_name in before.items())
        names_bound = [name for name in now.values() if name]
        assert len(set(names_bound)) == len(names_bound), "two claims have one volume"
        before |= now


def check(store: Store) -> None:
    """What holds once nothing is written any more."""
    for mine in store.claims.values():
        its = store.volumes.get(mine.volume_name)
        if mine.phase == "Bound":
            assert its is not None
            assert its.claim is not None
            assert its.claim.uid == mine.metadata.uid
            assert its.phase == "Bound"
            assert mine.status["capacity"] == its.spec["capacity"]
            assert mine.access_modes <= its.access_modes
        else:
            assert "capacity" not in mine.status
    uids = {mine.metadata.uid for mine in store.claims.values()}
    for its in store.volumes.values():
        if its.claim is None or not its.claim.uid:
            assert its.phase == "Available"
        elif its.claim.uid in uids:
            owner = next(c for c in store.claims.values() if c.metadata.uid == its.claim.uid)
            assert owner.volume_name in ("", its.metadata.name)
        else:
            assert (its.reclaim_policy, its.phase) == ("Retain", "Released")


SETTINGS = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@SETTINGS
@given(clusters(), STEPS)
def test_whatever_happens_bindings_are_completed(
    store: Store, steps: list[tuple[int, str, int]]
) -> None:
    play(store, steps)
    store.settle()
    check(store)


@SETTINGS
@given(clusters())
def test_a_suitable_volume_is_never_left_while_a_claim_waits_for_it(store: Store) -> None:
    store.settle()
    for mine in store.claims.values():
        if mine.volume_name or mine.storage_class == "late":
            continue
        assert volumebinding.best_match(mine, store.volumes.values(), delayed=False) is None
        assert not mine.storage_class, "a class that provisions leaves no claim without a volume"


class Mutant(Store):
    """A binder that is wrong in one way."""

    def __init__(self, store: Store, how: str) -> None:
        super().__init__(*store.claims.values(), *store.volumes.values(), *store.classes.values())
        self._how = how

    def plan_of(self, of: PersistentVolume | PersistentVolumeClaim) -> Plan:
        right = super().plan_of(of)
        match self._how:
            case "forgets the claim's side":
                kept = [w for w in right.writes if not (isinstance(w, Update) and _of_claim(w))]
                return Plan(tuple(kept), right.events)
            case "deletes what is in use" if isinstance(of, PersistentVolume):
                return Plan((Delete(of),)) if of.phase == "Bound" else right
        return right


def _of_claim(write: Update) -> bool:
    return isinstance(write.obj, PersistentVolumeClaim)


@pytest.mark.parametrize("how", ["forgets the claim's side", "deletes what is in use"])
def test_the_properties_can_fail(how: str) -> None:
    mutant = Mutant(Store(claim(), volume(), storage_class()), how)

    def outcome() -> None:
        for _ in range(5):
            mutant.sync("c")
            if "v" in mutant.volumes:
                mutant.sync("v")
        check(mutant)
        assert mutant.claims["c"].phase == "Bound"

    with pytest.raises(AssertionError):
        outcome()
