"""What a terminal shows of a herd: lines that fit, of characters that are harmless."""

from kubeherd.faults import Fault, Nodes, effects
from kubeherd.herd.herd import Herd
from kubeherd.herd.model import Cell, Health, Look, News, Revision, Rollout, Tile
from kubeherd.watch.screen import Span, Style, clipped, screen, sgr


def herd(count: int) -> Herd:
    seen = Herd()
    for number in range(count):
        name = f"node-{number}"
        pod = Cell(f"u{number}", "x", f"p{number}", name, "DaemonSet x/agent", "a", Look.READY)
        seen.nodes[name] = Tile(name, Health.READY, pods={pod.uid: pod}, beat=100.0)
    return seen


def text(seen: Herd, width: int = 120, height: int = 30, now: float = 101.0) -> list[str]:
    return [sgr(line, colour=False) for line in screen(seen, width, height, now)]


def test_a_few_nodes_have_a_line_each_in_natural_order():
    lines = text(herd(11))
    names = [line.split()[1] for line in lines if line.startswith("●") and "node-" in line]
    assert names == [f"node-{number}" for number in range(11)]
    assert "11 nodes  11 ready  0 not" in lines[0]


def test_many_nodes_are_a_sign_each_by_zone():
    seen = herd(1000)
    seen.nodes["node-7"].health = Health.UNREACHABLE
    seen.nodes["node-8"].process = "frozen"
    seen.nodes["node-1"].zone = "b"
    lines = text(seen, 100)
    assert "no zone: 998/999 ready" in lines
    assert "b: 1/1 ready" in lines
    assert sum(line.count("●") for line in lines[2:]) == 998
    assert "?" in "".join(lines[2:])
    assert "!" in "".join(lines[2:])


def test_nothing_is_wider_or_higher_than_the_terminal():
    seen = herd(30)
    seen.news.extend(News(1.0, "event", "Pod x/p", "long " * 100) for _ in range(50))
    for width, height in ((20, 4), (60, 20), (200, 60)):
        lines = text(seen, width, height)
        assert len(lines) <= height
        assert max(map(len, lines)) <= width


def test_a_rollout_shows_its_progress_and_what_holds_it_up():
    seen = herd(2)
    revision = Revision("a", 3, ("app:3",))
    seen.rollouts["DaemonSet x/agent"] = Rollout(
        "DaemonSet", "x", "agent", desired=4, updated=1, available=3, budget=1,
        revisions=(revision,),
    )  # fmt: skip
    shown = "\n".join(text(seen))
    assert "█████░░░░░░░░░░░░░░░ 1/4 updated, 3 available, budget 1/1 down  r3 app:3" in shown
    assert "the budget is spent (1 of 1 unavailable): 3 old pods wait" in shown


def test_faults_say_how_they_are_undone():
    seen = herd(1)
    fault = Fault(id="f1", target=Nodes(("node-0",)), effect=effects.Freeze(), at=98.0)
    seen.faults["f1"] = fault
    assert any(
        line.startswith("f1") and "freeze node-0 3s  undo: kubeherd fault undo f1" in line
        for line in text(seen)
    )


def test_pods_have_the_colour_of_their_revision():
    seen = herd(1)
    revisions = (Revision("z", 1), Revision("a", 2))
    seen.rollouts["r"] = Rollout("DaemonSet", "x", "agent", revisions=revisions)
    line = next(one for one in screen(seen, 120, 30, 101.0) if any("node-0" in s.text for s in one))
    assert [span.colour for span in line if span.text == "█"] == [2]


def test_what_the_api_says_does_nothing_to_the_terminal():
    hostile = Span("a\x1b[2J\x07\x9bb\r\n\u202ec", Style.BAD)
    shown = sgr(clipped([hostile], 80), colour=False)
    assert shown.isprintable()
    assert "\x1b" not in shown
    assert sgr(clipped([Span("x", Style.BAD)], 80)) == "\x1b[31mx\x1b[0m"
