"""What a person waits for a GET: a process that asks for an object again and again; a JSON line.

    python -m kubeherd.bench.prober --kubeconfig FILE

Asks on one connection, every few milliseconds whatever the last answer took, until its standard
input ends; prints a line when it begins, and then how many answers there were, with percentiles and
the worst of their milliseconds.
"""

import argparse
import json
import select
import sys
import time
from pathlib import Path
from typing import Final

from kubeherd.cluster.client.http.blocking import BlockingTransport
from kubeherd.cluster.client.kubeconfig import load_kubeconfig

INTERVAL_S: Final = 0.02
_PATH: Final = "/api/v1/namespaces/default"
PERCENTILES: Final = (50, 90, 99)


def percentile(values: list[float], percent: int) -> float:
    """Of these values so many percent are not greater (nearest rank)."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def probe(transport: BlockingTransport) -> list[float]:
    """Ask until standard input ends: what each answer took, in milliseconds."""
    took_ms: list[float] = []
    transport.request("GET", _PATH)  # the connection is made
    print("{}", flush=True)
    due_s = time.monotonic()
    while True:
        due_s += INTERVAL_S
        if select.select([sys.stdin], [], [], max(0.0, due_s - time.monotonic()))[0]:
            return took_ms
        began_s = time.perf_counter()
        answer = transport.request("GET", _PATH)
        took_ms.append(1e3 * (time.perf_counter() - began_s))
        if answer.status != 200:
            raise RuntimeError(f"answered {answer.status}")


def main() -> int:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    with BlockingTransport(load_kubeconfig(parser.parse_args().kubeconfig)) as transport:
        took_ms = probe(transport)
    result = {f"p{percent}_ms": round(percentile(took_ms, percent), 2) for percent in PERCENTILES}
    print(json.dumps({"answers": len(took_ms), **result, "worst_ms": round(max(took_ms), 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
