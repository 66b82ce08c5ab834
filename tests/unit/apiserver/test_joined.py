"""Bodies that are joined as they are sent: the same bytes, whatever the pieces."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.apiserver.edge.joined import Joined, pieces

PREFIX = b'{"kind":"Thing",'
HEAD, TAIL = b'{"kind":"ThingList","items":[', b"]}\n"
LENGTHS = st.lists(st.integers(0, 300), min_size=1, max_size=40)


def objects(lengths: list[int]) -> list[bytes]:
    made = []
    for number, length in enumerate(lengths):
        rest = orjson.dumps({"name": str(number), "text": "x" * length})
        made.append(PREFIX + rest[1:])
    return made


@given(LENGTHS, st.integers(2, 1000))
def test_the_pieces_are_the_body(lengths: list[int], size: int) -> None:
    joined = Joined(HEAD, objects(lengths), len(PREFIX), TAIL)
    whole = bytes(joined)
    assert len(joined) == len(whole)
    items = orjson.loads(whole)["items"]
    assert [(one["name"], len(one["text"])) for one in items] == [
        (str(number), length) for number, length in enumerate(lengths)
    ]
    sent = list(pieces(joined, size))
    assert b"".join(sent) == whole
    assert all(0 < len(piece) <= size for piece in sent)
    assert b"".join(pieces(whole, size)) == whole


def test_a_piece_is_made_when_it_is_asked_for() -> None:
    class Counted(list[bytes]):
        taken = 0

        def __getitem__(self, index):
            found = super().__getitem__(index)
            Counted.taken += len(found)
            return found

    made = pieces(Joined(HEAD, Counted(objects([100] * 40)), len(PREFIX), TAIL), 1000)
    next(made)
    next(made)
    assert 0 < Counted.taken < 10
