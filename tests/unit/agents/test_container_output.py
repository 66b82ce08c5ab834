"""What fake containers write and how those with a plain command end."""

from pathlib import Path

from kubelet_pods import Driver, at, container, pod

from kubeherd.agents.faking.podlog import PodLog
from kubeherd.agents.pods.recovery import recover
from kubeherd.agents.pods.sync import LogKind, LogLine
from kubeherd.cluster.runtime.clock import LoopClock


def test_a_plain_command_writes_its_output_and_ends_with_its_code() -> None:
    script = "echo one; sleep 2; echo two; sleep 3; exit 7"
    spec = container(command=["sh", "-c", script])
    driver = Driver(pod(spec, restartPolicy="Never"))
    driver.until(4.0)
    assert driver.logs == ["0 web one", "2 web two"]
    assert "running" in driver.state()
    driver.until(20.0)
    ended = driver.state()["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["finishedAt"]) == (7, "Error", "T+5")
    assert driver.status["phase"] == "Failed"
    assert driver.logs == ["0 web one", "2 web two"]


def test_a_command_that_succeeds_completes_the_pod() -> None:
    driver = Driver(pod(container(args=["echo", "hi"]), restartPolicy="OnFailure"))
    driver.until(5.0)
    assert driver.state()["terminated"]["reason"] == "Completed"
    assert driver.status["phase"] == "Succeeded"


def test_init_containers_take_the_time_of_their_command() -> None:
    setup = container("setup", command=["sleep", "30"])
    driver = Driver(pod(init=[setup]))
    driver.until(29.0)
    assert "waiting" in driver.state()
    driver.until(35.0)
    assert "running" in driver.state()


def test_an_init_container_that_loops_for_ever_is_waited_for() -> None:
    setup = container("setup", command=["sh", "-c", "while true; do date; sleep 5; done"])
    driver = Driver(pod(init=[setup]))
    driver.until(1000.0)
    assert "waiting" in driver.state()
    assert driver.status["initContainerStatuses"][0]["started"]


def test_annotations_go_before_the_command() -> None:
    spec = container(command=["sleep", "5"])
    driver = Driver(pod(spec, annotations={"run-for-seconds": "60", "log": "a\nb"}))
    driver.until(50.0)
    assert "running" in driver.state()
    assert driver.logs == ["0 web a", "0 web b"]


def test_a_log_with_an_interval_repeats() -> None:
    driver = Driver(pod(annotations={"log": "tick\ntock", "log-interval-seconds": "5"}))
    driver.until(21.0)
    assert driver.logs == ["0 web tick", "5 web tock", "10 web tick", "15 web tock", "20 web tick"]


def test_a_loop_repeats_what_is_in_it() -> None:
    script = "echo begin; while true; do echo tick; sleep 5; done"
    driver = Driver(pod(container(args=["/bin/sh", "-c", script])))
    driver.until(11.0)
    assert driver.logs == ["0 web begin", "0 web tick", "5 web tick", "10 web tick"]
    assert "running" in driver.state()


def test_a_long_pause_is_not_written_down_line_by_line() -> None:
    driver = Driver(pod(annotations={"log": "tick", "log-interval-seconds": "1"}))
    driver.now_s = 10_000.0
    driver.change(driver.pod)
    assert len(driver.logs) == 1001
    assert driver.step.next_wake_s == 10_001.0


def test_an_adopted_container_does_not_write_anew() -> None:
    spec = container(command=["sh", "-c", "echo one; sleep 5; echo two; sleep 60"])
    before = Driver(pod(spec))
    before.until(1.0)
    known = pod(spec, status=before.status)
    after = Driver(known, recover(known, at(100.0), lambda _: 2.0), now_s=100.0)
    after.until(110.0)
    assert after.logs == ["103 web two"]


def test_the_log_before_a_restart_is_kept(tmp_path: Path) -> None:
    log = PodLog(tmp_path, LoopClock())
    begin = LogLine("web", "", LogKind.BEGIN)
    log.write("uid", [LogLine("web", "first"), begin, LogLine("web", "second")])
    current, previous = tmp_path / "uid" / "web.log", tmp_path / "uid" / "web.previous.log"
    assert current.read_text().endswith(" stdout F second\n")
    assert previous.read_text().endswith(" stdout F first\n")
    log.write("uid", [begin, begin])
    assert not current.exists()
    assert not previous.exists()


def test_without_notes_only_output_is_written(tmp_path: Path) -> None:
    log = PodLog(tmp_path, LoopClock(), notes=False)
    log.write("uid", [LogLine("web", "started")])
    assert not (tmp_path / "uid").exists()
    log.write("uid", [LogLine("web", "hello", LogKind.OUTPUT)])
    assert (tmp_path / "uid" / "web.log").read_text().endswith(" stdout F hello\n")


def test_a_restart_begins_a_new_log() -> None:
    driver = Driver(pod(container(command=["sh", "-c", "echo hi; exit 1"])))
    driver.until(1.5)
    driver.until(2.5)
    assert driver.logs == ["0 web hi", "1 web hi"]
    assert driver.status["containerStatuses"][0]["restartCount"] == 1
