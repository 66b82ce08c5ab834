"""Slow start: creates go in growing batches, so that what fails always fails a few times only."""

from collections.abc import Iterator


def batches(total: int) -> Iterator[int]:
    """Sizes of slow-start batches: 1, 2, 4, ..., the last one cut off."""
    size = 1
    while total > 0:
        yield min(size, total)
        total -= size
        size *= 2
