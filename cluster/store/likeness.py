"""What two versions of an object have in common, so that it is held once for both. Pure.

Of most writes the spec is the same before and after: a pod's is written once and its status four
times. Invariant: the pieces of an object, joined, are its bytes, whatever was taken as common.
"""

import msgspec

_BEGIN = b',"spec":'
_END = b',"status":'
_MIN_BYTES = 512
"""Less than this in common is not worth three pieces with their own overhead."""
WORTH_BYTES = 2 * _MIN_BYTES
"""Nor is a look at objects that are smaller: leases above all."""


class Pieces(msgspec.Struct, frozen=True, gc=False):
    """An object's bytes: before what is common, what is common, after it."""

    before: bytes
    common: bytes
    after: bytes

    def joined(self) -> bytes:
        """All of them."""
        return self.before + self.common + self.after

    def __len__(self) -> int:
        return len(self.before) + len(self.common) + len(self.after)


def in_common(old: bytes, new: bytes) -> bytes:
    """What both have from their specs on, up to the status; b"" where that is too little."""
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
        return whole[:-1]  # a member more at its end: a binding
    same, differs = 0, len(whole)  # as long as the first is, and no longer than the second
    while differs - same > 1:
        middle = (same + differs) // 2
        if new.startswith(whole[same:middle], there + same):
            same = middle
        else:
            differs = middle
    return whole[:same] if same >= _MIN_BYTES else b""


def has(json: bytes, common: bytes) -> bool:
    """Whether this version has it in common, too."""
    at = json.find(_BEGIN)
    return at >= 0 and json.startswith(common, at)


def pieces(json: bytes, common: bytes) -> Pieces:
    """The bytes around what is common, which this version `has`."""
    at = json.find(_BEGIN)
    return Pieces(json[:at], common, json[at + len(common) :])
