"""Fills Secrets of type kubernetes.io/service-account-token, and deletes those without an account.

Invariants: a token is signed by the cluster's key or not at all (without one nothing is done); it
is written into its Secret and nowhere else.
"""

import asyncio
from functools import cached_property

from kubeherd.cluster.api.errors import Conflict, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import SECRETS, SERVICEACCOUNTS
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.api.webtokens import TokenKey
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.serviceaccount import tokenplan
from kubeherd.controller.worker import run_workers


class TokensController:
    """Looks at a Secret when it or its account has changed."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._ca_pem = context.root_ca_pem.decode()
        self._key_file = context.keys.tokens
        selector = f"type={tokenplan.TYPE}"
        self._secrets = context.informers.get(SECRETS, PartialObject, field_selector=selector)
        self._accounts = context.informers.get(SERVICEACCOUNTS, PartialObject)
        self._queue: WorkQueue[tuple[str, str]] = context.queue("serviceaccount_tokens_secret")
        self._secrets.on_change(self._secret_changed)
        self._accounts.on_change(self._account_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        if self._key_file is None:
            await asyncio.Event().wait()
        for secret in self._secrets.cache.values():
            self._secret_changed(None, secret)
        await run_workers(self._queue, self._reconcile, controller="serviceaccount-token")

    @cached_property
    def _key(self) -> TokenKey:
        if self._key_file is None:
            raise ValueError("no key for tokens")
        return TokenKey.from_pem(self._key_file.read_bytes())

    def _secret_changed(self, _old: PartialObject | None, new: PartialObject | None) -> None:
        if new is not None:
            self._queue.add((new.metadata.namespace, new.metadata.name))

    def _account_changed(self, old: PartialObject | None, new: PartialObject | None) -> None:
        changed = new or old
        if changed is None or not len(self._secrets.cache):
            return
        account = changed.metadata
        for secret in self._secrets.cache.values():
            meta = secret.metadata
            named = tokenplan.account_name(meta.annotations)
            if (meta.namespace, named) == (account.namespace, account.name):
                self._queue.add((meta.namespace, meta.name))

    async def _reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        secret = await self._found(SECRETS.path(namespace, name))
        if secret is None or secret.get("type") != tokenplan.TYPE:
            return
        named = tokenplan.account_name(secret["metadata"].get("annotations") or {})
        account = await self._found(SERVICEACCOUNTS.path(namespace, named)) if named else None
        try:
            if account is None or not tokenplan.belongs(secret, account):
                uid = secret["metadata"]["uid"]
                await self._client.delete(SECRETS, name, namespace, uid=uid)
                return
            wanted = tokenplan.filled(secret, account, self._ca_pem, self._key.sign)
            if wanted is not None:
                await self._client.update(SECRETS, wanted)
        except (NotFound, Conflict):
            return

    async def _found(self, path: str) -> JsonObject | None:
        try:
            return await self._client.request("GET", path)
        except NotFound:
            return None
