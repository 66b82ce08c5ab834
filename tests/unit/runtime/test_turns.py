"""Work that is divided among the turns of the event loop."""

import asyncio
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.runtime.turns import Turns

TURN_US = 100


async def _done_in_turns(works: list[list[int]]) -> tuple[list[list[int]], list[int]]:
    """Of some who work at the same time, in pieces of so many microseconds: what was done in each
    turn, and who was ready after whom."""
    turns, done, ready = Turns(TURN_US), [list[int]()], list[int]()

    async def work(number: int, pieces: list[int]) -> None:
        for piece in pieces:
            await turns.room(piece)
            done[-1].append(piece)
        ready.append(number)

    tasks = [asyncio.create_task(work(number, pieces)) for number, pieces in enumerate(works)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        done.append([])
    return done, ready


pieces = st.lists(st.integers(1, 2 * TURN_US), max_size=20)


@given(st.lists(pieces, max_size=6))
def test_a_turn_has_room_for_so_much_and_none_is_wasted(works: list[list[int]]) -> None:
    done, ready = asyncio.run(_done_in_turns(works))
    assert sorted(chain(*done)) == sorted(chain(*works))
    full = [turn for turn in done if turn]
    assert all(sum(turn[:-1]) < TURN_US for turn in full)
    assert all(sum(turn) >= TURN_US for turn in full[:-1])
    assert sorted(ready) == list(range(len(works)))


async def test_what_is_spent_regardless_leaves_no_room_for_others() -> None:
    turns = Turns(TURN_US)
    turns.spend(3 * TURN_US)
    assert not turns.take(1)
    await asyncio.sleep(0)
    assert turns.take(1)


async def test_a_turn_is_busy_once_something_is_done_in_it() -> None:
    turns = Turns()
    assert not turns.busy
    turns.spend(1)
    assert turns.busy
    await asyncio.sleep(0)
    assert not turns.busy
