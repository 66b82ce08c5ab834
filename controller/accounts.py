"""Controllers under their own service accounts: ``--use-service-account-credentials``.

Source: Kubernetes v1.36, controller-manager/pkg/clientbuilder and the names in
cmd/kube-controller-manager/app: each controller acts as `system:serviceaccount:kube-system:NAME`
with a token of an hour, which is asked for with the process' own identity when it is first needed,
and again when a fifth of its life is left. The accounts share their connections, on which nobody
shows a certificate. Invariants: an account that is missing is created; a request that was refused
as unauthenticated (401) is repeated once, with a new token; caches and elections stay with the
process' own identity, as upstream.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec

from kubeherd.cluster.api.errors import AlreadyExists, ApiError, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import SERVICEACCOUNTS
from kubeherd.cluster.client.batching import BatchingTransport, ProcessSlots
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import HttpTransport
from kubeherd.cluster.client.kubeconfig import ClusterAccess
from kubeherd.cluster.client.transport import (
    DEFAULT_TIMEOUT_S,
    Transport,
    TransportResponse,
    answer_of,
)
from kubeherd.cluster.runtime.clock import Clock

NAMESPACE = "kube-system"
TOKEN_LIFE_S = 3600
RENEW_WHEN_LEFT_S = TOKEN_LIFE_S / 5
_UNAUTHENTICATED = 401

ACCOUNTS: Mapping[str, str] = {
    "daemonset-controller": "daemon-set-controller",
    "deployment-controller": "deployment-controller",
    "replicaset-controller": "replicaset-controller",
    "replicationcontroller-controller": "replication-controller",
    "node-lifecycle-controller": "node-controller",
    "taint-eviction-controller": "node-controller",
    "pod-garbage-collector-controller": "pod-garbage-collector",
    "garbage-collector-controller": "generic-garbage-collector",
    "namespace-controller": "namespace-controller",
    "serviceaccount-controller": "service-account-controller",
    "root-ca-certificate-publisher-controller": "root-ca-cert-publisher",
    "ephemeral-volume-controller": "ephemeral-volume-controller",
    "persistentvolume-binder-controller": "persistent-volume-binder",
    "persistentvolumeclaim-protection-controller": "pvc-protection-controller",
    "persistentvolume-protection-controller": "pv-protection-controller",
    "volumeattributesclass-protection-controller": "volumeattributesclass-protection-controller",
    "resourcequota-controller": "resourcequota-controller",
    "certificatesigningrequest-approving-controller": "certificate-controller",
    "certificatesigningrequest-signing-controller": "certificate-controller",
    "disruption-controller": "disruption-controller",
    "certificatesigningrequest-cleaner-controller": "certificate-controller",
    "bootstrap-signer-controller": "bootstrap-signer",
    "token-cleaner-controller": "token-cleaner",
    "clusterrole-aggregation-controller": "clusterrole-aggregation-controller",
    "statefulset-controller": "statefulset-controller",
    "endpoints-controller": "endpoint-controller",
    "endpointslice-controller": "endpointslice-controller",
    "endpointslice-mirroring-controller": "endpointslicemirroring-controller",
    "job-controller": "job-controller",
    "ttl-after-finished-controller": "ttl-after-finished-controller",
    "cronjob-controller": "cronjob-controller",
    "horizontal-pod-autoscaler-controller": "horizontal-pod-autoscaler",
}
"""By controller; one that is not here (the scheduler, the tokens of Secrets) has none upstream."""


class _Status(msgspec.Struct, rename="camel"):
    token: str
    expiration_timestamp: datetime


class _TokenRequest(msgspec.Struct):
    status: _Status


class AccountClients:
    """The clients of the accounts, made when first asked for."""

    def __init__(
        self, process: ApiClient, http: HttpTransport, clock: Clock, slots: ProcessSlots | None
    ) -> None:
        """`process`: a client with the process' own identity; `http`: connections without one,
        which are closed by whoever made them; `slots`: of batches, None for a server that is
        spoken to without what is private to kubeherd."""
        self._process = process
        self._http = http
        self._clock = clock
        self._slots = slots
        self._made: dict[str, ApiClient] = {}

    def client(self, controller: str) -> ApiClient:
        """The client for a controller: its account's, or the process' own."""
        account = ACCOUNTS.get(controller)
        if account is None:
            return self._process
        if account not in self._made:
            tokens = AccountTokens(self._process, account, self._clock)
            transport: Transport = AccountTransport(self._http, tokens)
            if self._slots is not None:
                transport = BatchingTransport(transport, self._slots)
            private = self._slots is not None
            self._made[account] = ApiClient(transport, self._clock, private_features=private)
        return self._made[account]


class AccountTokens:
    """The token of one account, asked for when there is none that lives long enough."""

    def __init__(self, process: ApiClient, account: str, clock: Clock) -> None:
        self._process = process
        self._account = account
        self._clock = clock
        self._asking = asyncio.Lock()
        self._token = ""
        self._renew_at = datetime.max.replace(tzinfo=UTC)

    async def token(self, refused: str = "") -> str:
        """A token that was not just `refused`; what the server says when it gives none."""
        async with self._asking:
            if self._token in ("", refused) or self._clock.now() >= self._renew_at:
                await self._ask()
            return self._token

    async def _ask(self) -> None:
        try:
            answer = await self._request()
        except NotFound:
            await self._create()
            answer = await self._request()
        status = msgspec.convert(answer, _TokenRequest).status
        self._token = status.token
        self._renew_at = status.expiration_timestamp - timedelta(seconds=RENEW_WHEN_LEFT_S)

    async def _request(self) -> JsonObject:
        """A token of the account; NotFound if there is no such account yet."""
        wanted = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_LIFE_S},
        }
        path = SERVICEACCOUNTS.path(NAMESPACE, self._account, "token")
        return await self._process.request("POST", path, body=wanted)

    async def _create(self) -> None:
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": self._account, "namespace": NAMESPACE},
        }
        with suppress(AlreadyExists):
            await self._process.create(SERVICEACCOUNTS, account)


class AccountTransport:
    """A `Transport` whose requests carry the account's token; others use its connections, too."""

    def __init__(self, http: HttpTransport, tokens: AccountTokens) -> None:
        self._http = http
        self._tokens = tokens

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "",
        fence: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> TransportResponse:
        """As `Transport.request`; if there is no token, what the server said instead of one."""

        async def send(token: str) -> TransportResponse:
            return await self._http.request(
                method,
                path,
                query=query,
                body=body,
                content_type=content_type,
                accept=accept,
                fence=fence,
                timeout_s=timeout_s,
                token=token,
            )

        try:
            token = await self._tokens.token()
            response = await send(token)
            if response.status == _UNAUTHENTICATED:
                response = await send(await self._tokens.token(refused=token))
        except ApiError as error:
            return answer_of(error)
        return response

    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AsyncGenerator[bytes, None]:
        """As `Transport.stream`."""
        chunks = self._http.stream(
            path, query=query, accept=accept, timeout_s=timeout_s, token=await self._tokens.token()
        )
        async for chunk in chunks:
            yield chunk

    async def close(self) -> None:
        """As `Transport.close`; the connections are closed by whoever made them."""


def anonymous(access: ClusterAccess) -> ClusterAccess:
    """The same server without an identity."""
    return ClusterAccess(
        server=access.server,
        ca_pem=access.ca_pem,
        tls_server_name=access.tls_server_name,
        skip_tls_verify=access.skip_tls_verify,
    )
