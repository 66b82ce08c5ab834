"""The standard descriptors of a program are open: the first import of every program of kubeherd.

A program may be started with its standard input, output or error closed. Then the next file that
it opens gets the number, and what is printed goes into that file, be it the store, a pipe or a
socket; and a child that is given a standard descriptor loses another one. So /dev/null takes the
place of what is closed, before anything else is opened.
"""

import os
import sys

_MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}


def open_standard_descriptors() -> None:
    """Open /dev/null for each of the descriptors 0, 1 and 2 that is closed; once is enough."""
    for number, (name, mode) in enumerate(_MODES.items()):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, and those below this one are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:  # as Python leaves them when the descriptor was closed
            stream = open(number, mode, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


open_standard_descriptors()
