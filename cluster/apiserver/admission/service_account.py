"""ServiceAccount: a pod runs as an account that exists, and gets its token and pull secrets.

Source: Kubernetes v1.36, plugin/pkg/admission/serviceaccount/admission.go. That a new namespace's
account `default` takes a moment to come is `write.accountwait`'s concern.
"""

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from kubeherd.cluster.api import kinds, names
from kubeherd.cluster.api.errors import Forbidden
from kubeherd.cluster.api.goformat import is_true, quoted
from kubeherd.cluster.api.helpers import podreferences
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.names import GENERATED_ALPHABET
from kubeherd.cluster.apiserver.access.kubelets import MIRROR_ANNOTATION
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

DEFAULT = "default"
_VOLUME_PREFIX = "kube-api-access-"
_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_LIFE_S = 3607
_ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
_GROUPS = {
    "initContainers": "init container",
    "containers": "container",
    "ephemeralContainers": "ephemeral container",
}

_T = TypeVar("_T")


class _Account(msgspec.Struct, frozen=True):
    """What every new pod asks of its account."""

    automounts: bool | None
    gives_secrets: bool
    enforces: bool


def admit(request: AdmissionRequest, lookup: Lookup) -> None:
    """Name the account of a new pod, mount its token and give its pull secrets; 403 if there is no
    such account."""
    pod = request.new or {}
    if is_mirror(pod):
        _check_mirror(request, pod)
        return
    spec = pod.get("spec") or {}
    spec["serviceAccountName"] = spec.get("serviceAccountName") or DEFAULT
    spec["serviceAccount"] = spec["serviceAccountName"]
    name = spec["serviceAccountName"]
    account = _fact(request, lookup, name)
    wish = spec.get("automountServiceAccountToken")  # the pod's counts first, then the account's
    if (account.automounts if wish is None else wish) is not False:
        _mount_token(spec, volume_name(pod["metadata"]["uid"]))
    if account.gives_secrets and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [
            {"name": secret["name"]} if secret.get("name") else {}
            for secret in _tree(request, lookup, name)["imagePullSecrets"]
        ]


def check(request: AdmissionRequest, lookup: Lookup) -> None:
    """Refuse a new pod without an account, or with secrets that its account may not mount."""
    pod = request.new or {}
    if is_mirror(pod):
        _check_mirror(request, pod)
        return
    name = _account_name(request, pod)
    if not _fact(request, lookup, name).enforces:
        return
    account = _tree(request, lookup, name)
    spec = pod.get("spec") or {}
    for volume in spec.get("volumes") or ():
        if "secret" in volume:
            _check_secret(request, account, volume["secret"].get("secretName", ""), "volume with")
    _check_environment(request, account, spec, ("initContainers", "containers"))
    allowed = {secret.get("name") for secret in account.get("imagePullSecrets") or ()}
    for at, secret in enumerate(spec.get("imagePullSecrets") or ()):
        name = secret.get("name", "")
        if name not in allowed:
            raise request.forbidden(
                f'imagePullSecrets[{at}].name="{name}" is not allowed because service account '
                f"{account['metadata']['name']} does not reference that imagePullSecret"
            )


def check_ephemeral(request: AdmissionRequest, lookup: Lookup) -> None:
    """The same for the ephemeral containers that a pod is given later."""
    pod = request.new or {}
    name = _account_name(request, pod)
    if _fact(request, lookup, name).enforces:
        account = _tree(request, lookup, name)
        _check_environment(request, account, pod.get("spec") or {}, ("ephemeralContainers",))


def is_mirror(pod: JsonObject) -> bool:
    """Whether a pod stands for a file on a node."""
    return MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {})


def _check_mirror(request: AdmissionRequest, pod: JsonObject) -> None:
    """A mirror pod can use no account and no secret."""
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        raise request.forbidden("a mirror pod may not reference service accounts")
    if any(podreferences.secrets(pod)):
        raise request.forbidden("a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        if any("serviceAccountToken" in one for one in podreferences.projections(volume)):
            raise request.forbidden(
                "a mirror pod may not use ServiceAccountToken volume projections"
            )


def _account_name(request: AdmissionRequest, pod: JsonObject) -> str:
    name: str = (pod.get("spec") or {}).get("serviceAccountName", "")
    if not name:
        raise request.forbidden(
            f"no service account specified for pod {request.namespace}/{request.name}"
        )
    return name


def _tree(request: AdmissionRequest, lookup: Lookup, name: str) -> JsonObject:
    return _found(request, name, lookup.get(kinds.SERVICEACCOUNTS, request.namespace, name))


def _fact(request: AdmissionRequest, lookup: Lookup, name: str) -> _Account:
    account = lookup.fact(kinds.SERVICEACCOUNTS, request.namespace, name, _account)
    return _found(request, name, account)


def _found(request: AdmissionRequest, name: str, account: _T | None) -> _T:
    if account is None:
        why = f'serviceaccount "{name}" not found'
        if problems := names.path_segment(name):  # the client's own look at what it asks for
            why = f"invalid resource name {quoted(name)}: [{' '.join(problems)}]"
        raise request.forbidden(
            f"error looking up service account {request.namespace}/{name}: {why}"
        )
    return account


def _account(tree: JsonObject) -> _Account:
    annotations = tree["metadata"].get("annotations") or {}
    return _Account(
        automounts=tree.get("automountServiceAccountToken"),
        gives_secrets=bool(tree.get("imagePullSecrets")),
        enforces=is_true(annotations.get(_ENFORCE_MOUNTABLE, "")),
    )


def volume_name(uid: str) -> str:
    """What a volume with a token is called in the pod with this UID: with a suffix like that of a
    generated name, from what is random in the pod already."""
    number, suffix = int(uid.replace("-", "")[:12], 16), ""
    for _ in range(5):
        number, digit = divmod(number, len(GENERATED_ALPHABET))
        suffix += GENERATED_ALPHABET[digit]
    return _VOLUME_PREFIX + suffix


def _mount_token(spec: JsonObject, name: str) -> None:
    present = next(
        (volume["name"] for volume in spec.get("volumes") or ()
         if volume.get("name", "").startswith(_VOLUME_PREFIX)), "",
    )  # fmt: skip
    mount = {"name": present or name, "readOnly": True, "mountPath": _MOUNT_PATH}
    needed = False
    for group in ("initContainers", "containers"):
        for container in spec.get(group) or ():
            mounts = container.get("volumeMounts") or []
            if not any(one.get("mountPath") == _MOUNT_PATH for one in mounts):
                container["volumeMounts"] = [*mounts, mount.copy()]
                needed = True
    if needed and not present:
        spec["volumes"] = [*(spec.get("volumes") or ()), _token_volume(name)]


def _token_volume(name: str) -> JsonObject:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": _TOKEN_LIFE_S, "path": "token"}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
            ],
            "defaultMode": 0o644,
        },
    }


def _check_environment(
    request: AdmissionRequest, account: JsonObject, spec: JsonObject, groups: tuple[str, ...]
) -> None:
    for group in groups:
        for container in spec.get(group) or ():
            where = f"{_GROUPS[group]} {container.get('name', '')}"
            for name, how in _environment_secrets(container):
                _check_secret(request, account, name, f"{where} with {how} referencing")


def _environment_secrets(container: JsonObject) -> Iterator[tuple[str, str]]:
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if reference is not None:
            yield reference.get("name", ""), f"envVar {variable.get('name', '')}"
    for source in container.get("envFrom") or ():
        if source.get("secretRef") is not None:
            yield source["secretRef"].get("name", ""), "envFrom"


def _check_secret(request: AdmissionRequest, account: JsonObject, name: str, who: str) -> None:
    if name not in {secret.get("name") for secret in account.get("secrets") or ()}:
        raise _not_mountable(request, account, name, who)


def _not_mountable(
    request: AdmissionRequest, account: JsonObject, name: str, who: str
) -> Forbidden:
    return request.forbidden(
        f'{who} secret.secretName="{name}" is not allowed because service account '
        f"{account['metadata']['name']} does not reference that secret"
    )
