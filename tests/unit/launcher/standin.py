"""A tiny process in the place of a real one: says that it serves and lives until SIGTERM.

What it should do otherwise is in STANDIN_MODE: `crash` ends at once with an error line, `refuse`
announces a failure, `deaf` ignores SIGTERM.
"""

import os
import signal
import sys
import time


def main() -> None:
    mode = os.environ.get("STANDIN_MODE", "")
    if mode == "crash":
        sys.exit("the port is on fire")
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready = int(os.environ["KUBEHERD_READY_FD"])
    if mode == "refuse":
        os.write(ready, b'{"error": "the store is damaged"}\n')
        sys.exit(1)
    os.write(ready, b"{}\n")
    os.close(ready)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
