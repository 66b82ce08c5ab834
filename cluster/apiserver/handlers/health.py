"""/healthz, /livez, /readyz and /version (spec api-machinery, section 16)."""

from collections.abc import Callable, Mapping

import msgspec

from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.version import KUBERNETES_VERSION
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse

ENDPOINTS = ("healthz", "livez", "readyz")
_TEXT = "text/plain; charset=utf-8"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
VERSION = {
    "major": _MAJOR,
    "minor": _MINOR,
    "emulationMajor": _MAJOR,
    "emulationMinor": _MINOR,
    "minCompatibilityMajor": _MAJOR,
    "minCompatibilityMinor": str(int(_MINOR) - 1),
    "gitVersion": KUBERNETES_VERSION,
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


class Health(msgspec.Struct, frozen=True):
    """The named checks behind the health endpoints; each returns whether all is well."""

    checks: Mapping[str, Callable[[], bool]]

    def answer(self, request: ApiRequest) -> ApiResponse:
        """Plain text: ``ok``, or line by line what is not."""
        endpoint, _, single = request.path.strip("/").partition("/")
        if single:
            check = self.checks.get(single)
            if check is None:
                return ApiResponse(404, b"404 page not found\n", _TEXT)
            return _single(endpoint, single, check())
        excluded = set(request.query.get("exclude", "").split(","))
        lines, failed = [], False
        for name, check in self.checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
            elif check():
                lines.append(f"[+]{name} ok")
            else:
                failed = True
                lines.append(f"[-]{name} failed: reason withheld")
        if failed:
            text = "\n".join([*lines, f"{endpoint} check failed", ""])
            return ApiResponse(500, text.encode(), _TEXT)
        if "verbose" in request.query:
            text = "\n".join([*lines, f"{endpoint} check passed", ""])
            return ApiResponse(200, text.encode(), _TEXT)
        return ApiResponse(200, b"ok", _TEXT)


def _single(endpoint: str, name: str, passed: bool) -> ApiResponse:
    if passed:
        return ApiResponse(200, b"ok", _TEXT)
    return ApiResponse(500, f"{endpoint}/{name} failed: reason withheld\n".encode(), _TEXT)


def version() -> bytes:
    """The body of /version."""
    return codecs.dumps_json(VERSION) + b"\n"
