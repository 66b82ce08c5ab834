"""Rules of probes and lifecycle hooks (spec api-machinery, section 18)."""

import re

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import (
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import POSITIVE, not_negative, port_number

_PROBE_COUNTS = (
    "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
    "failureThreshold",
)  # fmt: skip
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_HEADER = "[-A-Za-z0-9]+"


def container_probes(container: JsonObject, path: str) -> list[Cause]:
    """Liveness, readiness and startup probe."""
    causes: list[Cause] = []
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        at = f"{path}.{name}"
        causes += _probe(probe, at)
        if name == "readinessProbe":
            if probe.get("terminationGracePeriodSeconds") is not None:
                value = probe["terminationGracePeriodSeconds"]
                detail = "must not be set for readinessProbes"
                causes.append(invalid(f"{at}.terminationGracePeriodSeconds", value, detail))
        elif probe.get("successThreshold", 1) != 1:
            causes.append(invalid(f"{at}.successThreshold", probe["successThreshold"], "must be 1"))
    return causes


def _probe(probe: JsonObject, path: str) -> list[Cause]:
    causes = _handler(probe, path)
    for name in _PROBE_COUNTS:
        causes += not_negative(probe, name, path)
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        causes.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, POSITIVE))
    return causes


def lifecycle(container: JsonObject, path: str) -> list[Cause]:
    """``postStart`` and ``preStop``."""
    hooks = container.get("lifecycle") or {}
    causes: list[Cause] = []
    for name in ("postStart", "preStop"):
        if hooks.get(name) is not None:
            causes += _handler(hooks[name], f"{path}.lifecycle.{name}")
    return causes


def _handler(holder: JsonObject, path: str) -> list[Cause]:
    """Exactly one of exec, httpGet, tcpSocket, grpc and sleep."""
    causes: list[Cause] = []
    given = [name for name in _HANDLERS if holder.get(name) is not None]
    for index, name in enumerate(given):
        at = f"{path}.{name}"
        if index:
            causes.append(forbidden(at, "may not specify more than 1 handler type"))
        else:
            causes += _action(name, holder[name], at)
    if not given:
        causes.append(required(path, "must specify a handler type"))
    return causes


def _action(name: str, action: JsonObject, path: str) -> list[Cause]:
    if name == "exec":
        return [] if action.get("command") else [required(f"{path}.command")]
    if name == "httpGet":
        return _http_get(action, path)
    if name == "sleep":
        seconds = action.get("seconds", 0)
        if seconds >= 0:
            return []
        return [invalid(path, seconds, "must be greater than or equal to 0")]
    if name == "grpc":
        return port_number(action.get("port", 0), f"{path}.port")
    return port_number_or_name(action.get("port", 0), f"{path}.port")


def _http_get(action: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if not action.get("path"):
        causes.append(required(f"{path}.path"))
    causes += port_number_or_name(action.get("port", 0), f"{path}.port")
    scheme = action.get("scheme", "")
    if scheme not in ("HTTP", "HTTPS"):
        causes.append(not_supported(f"{path}.scheme", scheme, ("HTTP", "HTTPS")))
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        if not re.fullmatch(_HEADER, name, re.ASCII):
            detail = (
                "a valid HTTP header must consist of alphanumeric characters or '-' "
                f"(e.g. 'X-Header-Name', regex used for validation is '{_HEADER}')"
            )
            causes.append(invalid(f"{path}.httpHeaders", name, detail))
    return causes


def port_number_or_name(port: JsonValue, path: str) -> list[Cause]:
    """A port by number or by the name of a container port."""
    if isinstance(port, str):
        return invalid_each(path, port, names.port_name(port))
    return port_number(port, path)
