"""What two versions of an object have in common, so that it is in memory only once. Pure.

Most writes leave the spec as it is: that of a pod is written once, and its status four times.
Invariant: whatever was taken as common, the joined pieces of an object are its bytes.
"""

import msgspec

_BEGIN = b',"spec":'
_END = b',"status":'
_MIN_BYTES = 512
"""Less in common is not worth the overhead of three pieces."""
WORTH_BYTES = 2 * _MIN_BYTES
"""Smaller objects, such as Leases, are not compared at all."""


class Pieces(msgspec.Struct, frozen=True, gc=False):
    """An object's bytes: before what is common, what is common, after it."""

    before: bytes
    common: bytes
    after: bytes

    def joined(self) -> bytes:
        """The whole object."""
        return self.before + self.common + self.after

    def __len__(self) -> int:
        return len(self.before) + len(self.common) + len(self.after)


def in_common(old: bytes, new: bytes) -> bytes:
    """The beginning that both specs, and what follows up to the status, have in common; b"" if it
    is too short."""
    here, there = old.find(_BEGIN), new.find(_BEGIN)
    end = old.rfind(_END)
    if end < here:
        end = len(old)
    if here < 0 or there < 0 or end - here < _MIN_BYTES:
        return b""
    whole = old[here:end]
    if new.startswith(whole, there):
        return whole
    if new.startswith(whole[:-1], there):
        return whole[:-1]  # the new one has another member at its end, as after a binding
    same, differs = 0, len(whole)  # the length is at least the first, and below the second
    while differs - same > 1:
        middle = (same + differs) // 2
        if new.startswith(whole[same:middle], there + same):
            same = middle
        else:
            differs = middle
    return whole[:same] if same >= _MIN_BYTES else b""


def has(json: bytes, common: bytes) -> bool:
    """Whether another version has this in common, too."""
    at = json.find(_BEGIN)
    return at >= 0 and json.startswith(common, at)


def pieces(json: bytes, common: bytes) -> Pieces:
    """A version, which `has` what is common, in pieces."""
    at = json.find(_BEGIN)
    return Pieces(json[:at], common, json[at + len(common) :])
