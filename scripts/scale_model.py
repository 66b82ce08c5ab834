"""The model behind docs/scale.md: lines through what `scale.py measure` printed. Pure.

What a role uses is `a + b * nodes`, and with heartbeats only `a + b * writes per second`. What the
API servers use together is `servers * a + writes * (h + f * servers)`: h to handle a write, f to
follow it, which each of them does with all.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from statistics import StatisticsError, linear_regression, median
from typing import Any, NamedTuple

Row = Mapping[str, Any]

ROLES = ("apiserver", "etcd", "controller-manager", "agent")
WORK = ("start", "create", "update", "delete")
WRITES_PER_NODE_S = 1 / 10 + 1 / 300
"""A Lease every 10 s, the Node's status every 5 minutes."""
TARGETS = (5_000, 10_000, 100_000)
SERVERS = (1, 3, 10)


class Line(NamedTuple):
    """`slope * x + intercept`."""

    slope: float
    intercept: float

    def at(self, x: float) -> float:
        """Its value there."""
        return self.intercept + self.slope * x


def through(points: Iterable[tuple[float, float]]) -> Line:
    """The line of least squares."""
    fitted = linear_regression(*zip(*points, strict=True))
    return Line(fitted.slope, fitted.intercept)


class Shares(NamedTuple):
    """What a number of API servers use together: each of them `alone`, and for a write `handled`
    once and `followed` by each. CPU seconds; of heartbeats, in a second."""

    alone: float
    handled: float
    followed: float

    def cost(self, servers: int, writes: float) -> float:
        """Of all of them."""
        return servers * self.alone + writes * (self.handled + servers * self.followed)


def best(points: Iterable[tuple[int, float, float]]) -> Shares:
    """By least squares of the relative errors, from servers, writes and cost."""
    rows = [(n / cost, w / cost, n * w / cost) for n, w, cost in points]
    squares = [[sum(row[i] * row[j] for row in rows) for j in range(3)] for i in range(3)]
    sums = [sum(row[i] for row in rows) for i in range(3)]
    whole = _determinant(squares)
    if not whole:
        raise StatisticsError("several numbers of servers and of writes are needed")
    replaced = (
        [[*row[:i], total, *row[i + 1 :]] for row, total in zip(squares, sums, strict=True)]
        for i in range(3)
    )
    return Shares(*(_determinant(matrix) / whole for matrix in replaced))


def _determinant(m: list[list[float]]) -> float:
    return sum(
        m[0][i] * (m[1][(i + 1) % 3] * m[2][(i + 2) % 3] - m[1][(i + 2) % 3] * m[2][(i + 1) % 3])
        for i in range(3)
    )


class Group(NamedTuple):
    """Clusters that differ by their number of nodes only."""

    store: str
    servers: int


def of_role(values: Mapping[str, float], role: str) -> float:
    """The sum over the processes of a role, which are named after it."""
    return sum((value for name, value in values.items() if name.startswith(role)), 0.0)


def cores(role: str) -> Callable[[Row], float]:
    """Of a row: the cores that a role used."""
    return lambda row: of_role(row["cpu_s"], role) / float(row["seconds"])


def writes_per_s(row: Row) -> float:
    """Of all clients."""
    return float(row["writes"]) / float(row["seconds"])


def cpu(role: str) -> Callable[[Row], float]:
    """Of a row: the CPU seconds that a role used."""
    return lambda row: of_role(row["cpu_s"], role)


def pss(role: str) -> Callable[[Row], float]:
    """Of a row: the megabytes of a role's processes."""
    return lambda row: of_role(row["pss_mb"], role)


class Rows:
    """What was measured: medians by group, step and nodes."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[tuple[Group, str], list[Row]] = defaultdict(list)
        for row in rows:
            self._rows[Group(row["store"], row["apiservers"]), row["step"]].append(row)
        self.groups = sorted({group for group, _ in self._rows})

    def of(self, step: str) -> Iterator[Row]:
        """All rows of a step."""
        for (_, name), rows in self._rows.items():
            if name == step:
                yield from rows

    def points(
        self, group: Group, step: str, value: Callable[[Row], float]
    ) -> list[tuple[int, float]]:
        """By number of nodes the median of a value."""
        by_nodes: dict[int, list[float]] = defaultdict(list)
        for row in self._rows[group, step]:
            by_nodes[row["nodes"]].append(value(row))
        return [(nodes, median(values)) for nodes, values in sorted(by_nodes.items())]

    def enough(self, group: Group, step: str, up_to: int) -> bool:
        """Whether a line can be drawn through the clusters that are not larger."""
        return len({row["nodes"] for row in self._rows[group, step] if row["nodes"] <= up_to}) > 1

    def line(
        self, group: Group, step: str, value: Callable[[Row], float], up_to: int = 10**9
    ) -> Line:
        """Through the points of clusters that are not larger."""
        return through(point for point in self.points(group, step, value) if point[0] <= up_to)

    def heartbeats(self, group: Group, role: str, up_to: int = 10**9) -> Line:
        """Cores that a role uses by writes per second, from all windows of heartbeats only."""
        windows = [row for row in self._rows[group, "idle"] if row["nodes"] <= up_to]
        return through((writes_per_s(row), cores(role)(row)) for row in windows)


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """In Markdown."""
    ruler = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in (head, ruler, *lines))


def name_of(group: Group) -> str:
    """For a table's first column."""
    return f"{group.store}, {group.servers} API server{'s' * (group.servers > 1)}"


def idle(rows: Rows) -> str:
    """Heartbeats only: what a role uses without them, and for each write."""
    lines = []
    for group in rows.groups:
        fits = [rows.heartbeats(group, role) for role in ROLES]
        lines.append(
            [name_of(group)] + [f"{1e3 * f.intercept:.0f} + {1e3 * f.slope:.2f} w" for f in fits]
        )
    return table(["thousandths of a core, w writes/s", *ROLES], lines)


def work(rows: Rows) -> str:
    """CPU milliseconds for each node of a start and of a rollout's steps."""
    lines = []
    for group in rows.groups:
        for step in WORK:
            fits = [rows.line(group, step, cpu(role)) for role in ROLES]
            ms = [f"{1e3 * fit.slope:.2f}" for fit in fits]
            lines.append([f"{step}: {name_of(group)}", *ms, writes_of(rows, group, step)])
    return table(["CPU-ms per node", *ROLES, "writes"], lines)


def writes_of(rows: Rows, group: Group, step: str) -> str:
    """For each node; only etcd counts those of a start."""
    if group.store != "etcd":
        return ""
    return f"{rows.line(group, step, lambda row: float(row['etcd']['puts'])).slope:.1f}"


def memory(rows: Rows) -> str:
    """PSS in MB with one pod on each node; of a role with several processes, their sum."""
    lines = []
    for group in rows.groups:
        fits = [rows.line(group, "full", pss(role)) for role in ROLES]
        lines.append(
            [name_of(group)] + [f"{f.intercept:.0f} + {1e3 * f.slope:.0f} n/1000" for f in fits]
        )
    return table(["MB", *ROLES], lines)


def sizes(rows: Rows) -> str:
    """Bytes of an object as etcd keeps it, with its key."""
    found = defaultdict(list)
    for row in rows.of("full"):
        for kind, weight in row["weights"].items():
            found[kind].append(weight["bytes"])
    return table(["folder", "bytes"], [(kind, round(median(of))) for kind, of in found.items()])


def etcd(rows: Rows) -> str:
    """What etcd counted while there were heartbeats only."""
    lines = []
    for group in (group for group in rows.groups if group.store == "etcd"):
        of = [row for row in rows.of("idle") if row["store"] == "etcd"]
        mine = [row for row in of if row["apiservers"] == group.servers]

        def ratio(upper: str, lower: Callable[[Row], float], mine: list[Row] = mine) -> float:
            return sum(float(row["etcd"][upper]) for row in mine) / sum(map(lower, mine))

        node_seconds = ratio("puts", lambda row: row["nodes"] * row["seconds"])
        of_put = [
            ratio(name, lambda row: row["etcd"]["puts"])
            for name in ("events", "put_bytes", "sent_bytes", "db_bytes", "fsyncs")
        ]
        shown = [f"{value:.0f}" for value in of_put[1:4]]
        lines.append(
            [name_of(group), f"{node_seconds:.3f}", f"{of_put[0]:.2f}", *shown, f"{of_put[4]:.3f}"]
        )
    head = ["", "writes per node and s", "events per write", "bytes put", "bytes sent"]
    return table([*head, "bytes of its file", "fsyncs per write"], lines)


def watchers(rows: Rows) -> str:
    """What a delivered event costs the API servers: those of Leases, told to many."""
    lines = []
    for row in rows.of("watched"):
        group = Group(row["store"], row["apiservers"])
        quiet = dict(rows.points(group, "idle", cores("apiserver")))
        spent = of_role(row["cpu_s"], "apiserver") - quiet[row["nodes"]] * row["seconds"]
        us = 1e6 * spent / row["told"]
        more_mb = pss("apiserver")(row) - of_role(row["pss_before_mb"], "apiserver")
        kb = f"{1024 * more_mb / row['watchers']:.0f}"
        shown = row["nodes"], row["watchers"], round(row["told"] / row["seconds"]), f"{us:.1f}", kb
        lines.append([name_of(group), *shown])
    return table(["", "nodes", "watchers", "events/s", "CPU-µs per event", "KB each"], lines)


def shares(rows: Rows, step: str, most: int = 99) -> Shares:
    """Of all API servers on etcd, from clusters with so many at the most."""
    return best(point for point in costs(rows, step) if point[0] <= most)


def costs(rows: Rows, step: str) -> Iterator[tuple[int, float, float]]:
    """Number of API servers, writes, and what those cost all of them; of heartbeats in a second."""
    for row in rows.of(step):
        if row["store"] == "etcd":
            seconds = float(row["seconds"]) if step == "idle" else 1.0
            spent = cpu("apiserver")(row) / seconds
            yield row["apiservers"], row["etcd"]["puts"] / seconds, spent


def servers(rows: Rows) -> str:
    """What API servers on etcd use for a write: to handle it, and to follow it. And what those with
    fewer servers say of those with the most, by what was measured."""
    lines = []
    for step in ("idle", *WORK):
        points = list(costs(rows, step))
        most = max(n for n, _, _ in points)
        found, foretold = shares(rows, step), shares(rows, step, most=most - 1)
        ratios = [foretold.cost(n, writes) / spent for n, writes, spent in points if n == most]
        shown = [1e3 * found.alone, 1e3 * found.handled, 1e3 * found.followed]
        lines.append([step, *(f"{value:.2f}" for value in shown), f"{median(ratios):.2f}"])
    head = ["", "alone, thousandths", "handle, CPU-ms", "follow, CPU-ms"]
    return table([*head, "most servers: foretold / measured"], lines)


def checks(rows: Rows, up_to: int) -> str:
    """What lines through the smaller clusters say of the larger ones, beside what was measured."""
    lines = []

    def compare(what: str, group: Group, nodes: int, said: float, measured: float) -> None:
        shown = f"{said:.2f}", f"{measured:.2f}", f"{said / measured:.2f}" if measured else ""
        lines.append([f"{what}: {name_of(group)}", nodes, *shown])

    for group, role in product(rows.groups, ROLES):
        if rows.enough(group, "idle", up_to):
            beats = rows.heartbeats(group, role, up_to)
            writes = dict(rows.points(group, "idle", writes_per_s))
            for nodes, measured in rows.points(group, "idle", cores(role)):
                if nodes > up_to:
                    compare(f"cores, {role}", group, nodes, beats.at(writes[nodes]), measured)
        for step in WORK:
            if rows.enough(group, step, up_to):
                line = rows.line(group, step, cpu(role), up_to)
                for nodes, measured in rows.points(group, step, cpu(role)):
                    if nodes > up_to:
                        compare(f"CPU-s, {step}, {role}", group, nodes, line.at(nodes), measured)
    return table(["", "nodes", "model", "measured", "ratio"], lines)


def extrapolated(rows: Rows) -> str:
    """Cores of one process of each role while there are heartbeats only."""
    share = shares(rows, "idle")
    group = next(group for group in rows.groups if group.store == "etcd")
    lines = []
    for nodes in TARGETS:
        writes = nodes * WRITES_PER_NODE_S
        api = [share.cost(n, writes) / n for n in SERVERS]
        others = [rows.heartbeats(group, role).at(writes) for role in ROLES[1:]]
        lines.append([f"{nodes:,}"] + [f"{cores:.2f}" for cores in (*api, *others)])
    head = [f"API server, of {n}" for n in SERVERS]
    return table(["nodes", *head, *ROLES[1:]], lines)


def tables(rows: Iterable[Row], up_to: int) -> str:
    """All tables."""
    measured = Rows(rows)
    parts = {
        "idle": idle(measured),
        "handle and follow": servers(measured),
        "work": work(measured),
        "memory": memory(measured),
        "bytes": sizes(measured),
        "etcd": etcd(measured),
        "watchers": watchers(measured),
        "checked": checks(measured, up_to),
        "extrapolated": extrapolated(measured),
    }
    return "\n\n".join(f"## {name}\n\n{text}" for name, text in parts.items())
