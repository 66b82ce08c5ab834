"""How long a test waits for what is sure to come."""

PATIENCE_S = 100.0
"""Of a wait that ends as soon as there is what it waits for: only a hang lasts so long.

A machine that does ten other things at once takes half a minute for what takes one second
elsewhere. It is less than the limit of a whole test (pyproject.toml), which cannot say what did
not come. A wait whose end is what is tested (a server that closes, a wait that gives up) has a
bound of its own.
"""
