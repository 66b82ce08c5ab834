"""What holds for every test."""

import gc


def pytest_collection_finish() -> None:
    """Take thousands of tests and the modules of all clients out of the garbage collector's sight.

    They live until the end, and each full collection would walk through all of them: that was
    almost half of the processor time of simulations and of tests that call `gc.collect`.
    """
    gc.collect()
    gc.freeze()
