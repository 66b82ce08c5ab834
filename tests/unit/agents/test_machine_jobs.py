"""Containers that come to an end: of Jobs, by index, by what they find in their volumes."""

from typing import Any

import msgspec
import pytest
from kubelet_pods import NODE, Driver, Tree, container, pod
from msgspec.structs import replace

from kubeherd.agents.faking import images
from kubeherd.agents.faking.annotations import JOB_RUN_S
from kubeherd.agents.faking.volumefiles import MAX_BYTES, VolumeFiles
from kubeherd.cluster.api.objects import Pod

PAUSE = "registry.k8s.io/pause:3.10"
AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.53"


def job_pod(*containers: Tree, index: str = "", uid: str = "", **fields: Any) -> Pod:
    """A pod as the Job controller makes it."""
    made = pod(*containers, restartPolicy=fields.pop("restartPolicy", "Never"), **fields)
    tree = msgspec.to_builtins(made)
    metadata = tree["metadata"]
    metadata["labels"] = {"batch.kubernetes.io/job-name": "work"}
    if uid:
        metadata["uid"] = uid
    if index:
        annotations = metadata.setdefault("annotations", {})
        annotations["batch.kubernetes.io/job-completion-index"] = index
    return msgspec.convert(tree, Pod)


def ended(made: Pod) -> tuple[str, int | None]:
    """The phase of a pod in the end, and the exit code of its first container."""
    driver = Driver(made)
    driver.until(300)
    state = driver.state()
    return driver.status["phase"], (state.get("terminated") or {}).get("exitCode")


def test_the_containers_of_a_job_end_after_a_while() -> None:
    driver = Driver(job_pod(container("a"), container("b")))
    assert driver.status["phase"] == "Running"
    driver.until(JOB_RUN_S)
    assert driver.status["phase"] == "Succeeded"


def test_the_owner_tells_as_well_as_the_label() -> None:
    tree = msgspec.to_builtins(pod(restartPolicy="OnFailure"))
    owner = {"kind": "Job", "name": "work", "uid": "u", "controller": True}
    tree["metadata"]["ownerReferences"] = [owner]
    assert ended(msgspec.convert(tree, Pod)) == ("Succeeded", 0)


def test_other_pods_run_for_ever() -> None:
    assert ended(pod(restartPolicy="Never")) == ("Running", None)


@pytest.mark.parametrize(
    ("fields", "phase"),
    [
        ({"image": PAUSE}, "Running"),
        ({"image": AGNHOST}, "Running"),
        ({"image": AGNHOST, "args": ["netexec", "--http-port=80"]}, "Running"),
        ({"image": AGNHOST, "command": ["/agnhost", "pause"]}, "Running"),
        ({"image": AGNHOST, "args": ["mounttest", "--fs_type=/x"]}, "Succeeded"),
        ({"image": AGNHOST, "command": ["/bin/tool"]}, "Succeeded"),
        ({"command": ["sh", "-c", "while true; do date; sleep 1; done"]}, "Running"),
        ({"command": ["python", "migrate.py"]}, "Succeeded"),
        ({"command": ["sh", "-c", "exit 3"]}, "Failed"),
        ({"command": ["sleep", "3600"]}, "Running"),
    ],
)
def test_what_runs_on_in_a_job(fields: Tree, phase: str) -> None:
    assert ended(job_pod(container(**fields)))[0] == phase


def test_known_images() -> None:
    assert images.serves("pause@sha256:0", [], [])
    assert images.serves("localhost:5000/x/agnhost", [], ["serve-hostname"])
    assert not images.serves("nginx:1", [], ["pauses"])


@pytest.mark.parametrize(
    ("annotations", "index", "code"),
    [
        ({"exit-code": "3"}, "", 3),
        ({"exit-code": "0-3:1,5:2"}, "2", 1),
        ({"exit-code": "0-3:1,5:2"}, "4", 0),
        ({"exit-code": "0-3:1,5:2"}, "5", 2),
        ({"exit-code": "0-3:1,5:2"}, "", 0),
        ({"exit-code": "0-3:1,5:x"}, "1", 0),
        ({"exit-code": "1:7", "crash-after-seconds": "2"}, "1", 7),
        ({"exit-code": "1:7", "crash-after-seconds": "2"}, "0", 0),
        ({"exit-code": "7", "run-for-seconds": "3"}, "0", 7),
        ({"web.exit-code": "9"}, "0", 9),
        ({"run-for-seconds": "3"}, "0", 0),
    ],
)
def test_exit_codes_by_index(annotations: dict[str, str], index: str, code: int) -> None:
    phase = "Failed" if code else "Succeeded"
    assert ended(job_pod(annotations=annotations, index=index)) == (phase, code)


def test_sidecars_go_on_until_the_work_is_done() -> None:
    spec: Tree = {"init": [container("proxy", restartPolicy="Always")]}
    assert ended(job_pod(**spec))[0] == "Succeeded"


def marked(volume: Tree, **fields: str) -> Pod:
    """A container that succeeds when it finds the mark of one before it."""
    script = "if [[ -r /data/$NAME ]]\nthen\n exit 0\nelse\n touch /data/$NAME\n exit 42\nfi\n"
    env = [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": fields.pop("field")}}}]
    mounts = [{"name": "data", "mountPath": "/data"}]
    spec = container(command=["/bin/sh", "-c"], args=[script], env=env, volumeMounts=mounts)
    return job_pod(spec, volumes=[{"name": "data", **volume}], **fields)


def test_a_restarted_container_finds_what_it_left_in_its_pod() -> None:
    node = replace(NODE, volumes=VolumeFiles())
    restarted = marked({"emptyDir": {}}, field="metadata.name", restartPolicy="OnFailure")
    driver = Driver(restarted, node=node)
    driver.until(60)
    assert driver.status["phase"] == "Succeeded"
    assert driver.status["containerStatuses"][0]["restartCount"] == 1
    once = marked({"emptyDir": {}}, field="metadata.name", uid="other")
    assert Driver(once, node=node).status["phase"] == "Failed"


def test_pods_of_a_node_find_what_others_left_in_a_hostpath() -> None:
    node = replace(NODE, volumes=VolumeFiles())
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"

    def phase(uid: str, index_value: str) -> str:
        host = {"hostPath": {"path": "/tmp/job/"}}
        made = marked(host, field=index, uid=uid, index=index_value)
        return str(Driver(made, node=node).status["phase"])

    assert [phase("a", "0"), phase("b", "1"), phase("c", "0")] == ["Failed", "Failed", "Succeeded"]


def test_containers_of_a_pod_share_a_volume() -> None:
    mounts = [{"name": "data", "mountPath": "/data"}]
    setup = container("setup", command=["sh", "-c", "echo x > /data/a"], volumeMounts=mounts)
    reader = container(
        command=["cat", "/in/a"], volumeMounts=[{"name": "data", "mountPath": "/in"}]
    )
    made = job_pod(reader, init=[setup], volumes=[{"name": "data", "emptyDir": {}}])
    driver = Driver(made, node=replace(NODE, volumes=VolumeFiles()))
    driver.until(2)
    assert driver.status["phase"] == "Succeeded"
    assert driver.logs == ["0 web x"]


def test_chance_decides_anew_at_each_start() -> None:
    command = ["/bin/sh", "-c", "exit $(( $RANDOM / 16384 ))"]
    codes = {ended(job_pod(container(command=command), uid=str(n)))[1] for n in range(20)}
    assert codes == {0, 1}
    assert ended(job_pod(container(command=command), uid="7")) == ended(
        job_pod(container(command=command), uid="7")
    )


def test_what_is_remembered_of_volumes_is_bounded() -> None:
    files = VolumeFiles()
    for number in range(40):
        files.keep({f"pod-{number}/data:": {"/a": "x" * (MAX_BYTES // 16)}})
    assert len(files) == 15
    assert "pod-39/data:" in files
    files.keep({"pod-39/data:": {}})
    files.forget("pod-38")
    assert "pod-38/data:" not in files
    assert len(files) == 13


def test_a_script_that_traps_sigterm_ends_as_it_says() -> None:
    script = "t(){\n sleep 5\n exit 143\n}\ntrap t TERM\nwhile true; do sleep 1; done"
    trapping = container(command=["/bin/sh", "-c", script])
    driver = Driver(job_pod(trapping))
    driver.change(job_pod(trapping, deleted_grace_s=30))
    driver.until(4)
    assert "running" in driver.state()
    driver.until(6)
    assert driver.state()["terminated"]["exitCode"] == 143
    deaf = container(command=["/bin/sh", "-c", script.replace("exit 143", "true")])
    driver = Driver(job_pod(deaf))
    driver.change(job_pod(deaf, deleted_grace_s=8))
    driver.until(9)
    assert driver.state()["terminated"]["exitCode"] == 137


@pytest.mark.parametrize(
    ("annotations", "code"),
    [({}, 143), ({"ready-delay-seconds": "0"}, 143), ({"stop-exit-code": "0"}, 0)],
)
def test_what_is_stopped_before_its_end_has_not_succeeded(
    annotations: dict[str, str], code: int
) -> None:
    """Else the deletion of its pod would complete a Job."""
    driver = Driver(job_pod(container(), annotations=annotations))
    driver.change(job_pod(container(), annotations=annotations, deleted_grace_s=30))
    driver.until(0.5)
    assert driver.state()["terminated"]["exitCode"] == code


@pytest.mark.parametrize(
    "command", [["sleep", "1000"], ["sh", "-c", "while true; do sleep 1; done"]]
)
def test_a_command_that_is_process_1_ignores_sigterm(command: list[str]) -> None:
    plain = container(command=command)
    driver = Driver(pod(plain))
    driver.change(pod(plain, deleted_grace_s=30))
    driver.until(29)
    assert "running" in driver.state()
    driver.until(31)
    assert driver.state()["terminated"]["exitCode"] == 137
    hurried = {"stop-delay-seconds": "0.1"}
    driver = Driver(pod(plain, annotations=hurried))
    driver.change(pod(plain, annotations=hurried, deleted_grace_s=30))
    driver.until(1)
    assert driver.state()["terminated"]["exitCode"] == 0
