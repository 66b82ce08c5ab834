"""A herd at one moment as bytes, and back: whoever shows earlier moments begins at one. Pure."""

from typing import Final

import msgspec

from kubeherd.faults import Fault
from kubeherd.herd.herd import Herd
from kubeherd.herd.model import Cell, News, ProcessSeen, Tile
from kubeherd.herd.rollouts import Kept
from kubeherd.history import Began


class Saved(msgspec.Struct, kw_only=True):
    """All that a herd knows."""

    began: Began
    now: float
    revision: int
    sequence: int
    nodes: list[Tile]
    unbound: list[Cell]
    workloads: Kept
    faults: list[Fault]
    processes: list[ProcessSeen]
    leaders: dict[str, str]
    news: list[News]
    told: int


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Saved)


def saved(herd: Herd, news: int) -> bytes:
    """The herd, with so many of its newest news."""
    return _encoder.encode(
        Saved(
            began=herd.began,
            now=herd.now,
            revision=herd.revision,
            sequence=herd.sequence,
            nodes=list(herd.nodes.values()),
            unbound=list(herd.unbound.values()),
            workloads=herd.sources.kept(),
            faults=list(herd.faults.values()),
            processes=list(herd.processes.values()),
            leaders=herd.leaders,
            news=list(herd.news)[-news:],
            told=herd.told,
        )
    )


def restored(data: bytes) -> Herd:
    """A herd that goes on from there."""
    from_ = _decoder.decode(data)
    herd = Herd(from_.sequence)
    herd.began, herd.now, herd.revision = from_.began, from_.now, from_.revision
    herd.leaders, herd.told = from_.leaders, from_.told
    herd.news.extend(from_.news)
    herd.faults = {one.id: one for one in from_.faults}
    herd.processes = {one.name: one for one in from_.processes}
    herd.take(from_.nodes, from_.unbound)
    herd.sources.take(from_.workloads)
    herd.rollouts = {
        key: found for key in from_.workloads.workloads if (found := herd.sources.rollout(key))
    }
    return herd
