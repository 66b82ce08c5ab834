"""How a remote command ended, as the Status that its client reads on the error channel. Pure.

Source: Kubernetes v1.36, k8s.io/cri-streaming/pkg/streaming/remotecommand/exec.go.
"""

import json
from typing import Final

from kubeherd.cluster.api.jsontypes import JsonObject

NOT_FOUND_CODE: Final = 127
"""With which a shell and container runtimes end where there is no such program."""
SUCCESS: Final[JsonObject] = {"metadata": {}, "status": "Success"}


def exited(code: int, message: str = "") -> JsonObject:
    """The Status for an exit code; `message` in the place of the usual one."""
    if code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": message or f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def not_found(program: str) -> tuple[JsonObject, str]:
    """The Status for a program that the container does not have, and what its runtime says."""
    text = (
        "OCI runtime exec failed: exec failed: unable to start container process: "
        f"exec: {json.dumps(program)}: executable file not found in $PATH: unknown"
    )
    return exited(NOT_FOUND_CODE, text), f"{text}\n"


def failed(why: str) -> JsonObject:
    """The Status for a command that could not be run."""
    message = f"error executing command in container: {why}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
