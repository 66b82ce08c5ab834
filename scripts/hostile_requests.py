"""Send hostile requests to an API server and check that it stays well.

    python scripts/hostile_requests.py --requests 100000 --seed 7
    python scripts/hostile_requests.py --in-process --requests 20000
    python scripts/hostile_requests.py --replay request.json

Bodies in all encodings, wrong in one place or cut short, of all kinds and subresources; all patch
types; odd queries, paths and methods; bodies made to be slow. The same seed sends the same
requests. Exit code 1 if a law of `hostile.checker` is broken, with the request as JSON for
`--replay`.
"""

import asyncio
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TextIO

import click
from hostile.checker import Report, Run, wrong_answer
from hostile.recorded import read
from hostile.requests import Hostile, Stream
from hostile.targets import Target, in_process, over_tls

from kubeherd.cluster.runtime import logging

_SEEDS = 2**32


async def attack(directory: Path | None, stream: Stream, count: int) -> Report:
    """Run against a server in `directory`, or in this process if that is None."""
    if directory is None:
        async with in_process() as target:
            return await Run(target, stream).run(count, _progress)
    async with over_tls(directory) as server:
        return await Run(server, stream).run(count, _progress)


async def replay(directory: Path | None, request: Hostile) -> str:
    """Send one request; what is wrong with the answer, or ""."""
    if directory is None:
        async with in_process() as target:
            return await _replayed(target, request)
    async with over_tls(directory) as server:
        return await _replayed(server, request)


async def _replayed(target: Target, request: Hostile) -> str:
    answer = await target.send(request)
    click.echo(f"{answer.status} {answer.body[:2000].decode(errors='replace')}")
    return wrong_answer(answer)


def _progress(done: int) -> None:
    click.echo(f"{done} requests", err=True)


def summary(report: Report) -> str:
    """A table of routes and status codes, and the figures."""
    codes = sorted({code for _, code in report.answers})
    by_route: dict[str, Counter[int]] = {}
    for (route, code), count in report.answers.items():
        by_route.setdefault(route, Counter())[code] += count
    lines = [f"{'route':40}" + "".join(f"{code:>7}" for code in codes)]
    lines += [
        f"{route[:39]:40}" + "".join(f"{counts[code] or '':>7}" for code in codes)
        for route, counts in sorted(by_route.items())
    ]
    totals = Counter[int]()
    for counts in by_route.values():
        totals.update(counts)
    lines.append(f"{'all':40}" + "".join(f"{totals[code]:>7}" for code in codes))
    lines.append(
        f"{totals.total()} requests, longest stall {report.longest_stall_s * 1000:.0f} ms of "
        f"processor time, {report.stored} objects stored, memory "
        f"{report.growth_bytes / 2**20:+.1f} MiB in the second half"
    )
    return "\n".join(lines)


@click.command(epilog="Example: hostile_requests.py --requests 100000 --seed 7")
@click.option("--requests", "count", type=click.IntRange(2), default=20_000, show_default=True)
@click.option("--seed", type=int, help="Sends the same requests again.  [default: random]")
@click.option("--in-process", "inside", is_flag=True, help="Without TLS, in this process: faster.")
@click.option("--bombs/--no-bombs", default=True, help="Bodies made to be slow.", show_default=True)
@click.option(
    "--recorded", type=click.Path(exists=True, path_type=Path), help="Mutate these requests, too."
)
@click.option("--replay", "file", type=click.File("r"), help="Send one request from its JSON.")
def main(
    count: int,
    seed: int | None,
    inside: bool,
    bombs: bool,
    recorded: Path | None,
    file: TextIO | None,
) -> None:
    """Attack an API server of its own; exit code 1 if it does not stay well."""
    logging.configure("hostile", level="error")
    with tempfile.TemporaryDirectory(prefix="kubeherd-hostile-") as temporary:
        directory = None if inside else Path(temporary) / "server"
        if file is not None:
            sys.exit(1 if asyncio.run(replay(directory, Hostile.from_json(file.read()))) else 0)
        seed = random.randrange(_SEEDS) if seed is None else seed
        click.echo(f"seed {seed}: {count} requests")
        report = asyncio.run(
            attack(
                directory,
                Stream(seed, bombs=bombs, recorded=read(recorded) if recorded else ()),
                count,
            )
        )
    click.echo(summary(report))
    for problem in report.problems:
        click.echo(f"violated: {problem.why}", err=True)
        if problem.request is not None:
            click.echo(f"  by {problem.request.shown()}"[:4000], err=True)
    if report.problems:
        click.echo(f"replay with --seed {seed}", err=True)
        sys.exit(1)
    click.echo("well: no 5xx, no stall, no growth, nothing half stored")


if __name__ == "__main__":
    main()
