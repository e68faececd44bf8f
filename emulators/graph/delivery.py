"""Telling subscribers: at least once, in no promised order, again and again while nobody answers 2xx within 3 seconds.

Owns the notification's envelope, retries (Graph goes on for four hours, the emulation for ten minutes), lifecycle
notifications and the delivery faults of `faults.py`. What is on its way is stored, so a restart goes on with it.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from emulators import tls
from emulators.entra.signing import SigningKey, notification_token
from emulators.graph.encryption import encrypted_content
from emulators.graph.faults import Faults
from emulators.graph.meetings import graph_time
from emulators.graph.model import Meeting, Pending, Store, Subscription
from emulators.graph.room import CallEvent

ANSWER_WITHIN_SECONDS = 3.0
VALIDATE_WITHIN_SECONDS = 10.0
RETRY_FOR_SECONDS = 600
BACK_OFF_SECONDS = (0.5, 1, 2, 4, 8, 15)
HOLD_BACK_SECONDS = 2.0
REAUTHORIZE_BEFORE = timedelta(minutes=15)


class Delivery:
    """Sends notifications; one HTTP client that trusts the local certificate authority."""

    def __init__(
        self,
        store: Store,
        faults: Faults,
        key: SigningKey,
        *,
        state: Path,
        entra_url: str,
        log: Any,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._faults, self._key, self._log = store, faults, key, log
        self._state, self._entra_url, self._clock = state, entra_url, clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._queues: dict[str, asyncio.Queue[tuple[Pending, str | None]]] = {}
        self._http: httpx.AsyncClient | None = None

    async def start(self) -> None:
        for pending in sorted(self._store.pending.all.values(), key=lambda p: p.created_at):
            self._enqueue(pending, None)
        self._spawn(self._watch_expiry())

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.aclose()

    # --- what others ask for -------------------------------------------------------------------------------------

    def tell(self, meeting: Meeting, events: list[CallEvent]) -> None:
        """Store and send events of a meeting to whoever subscribed."""
        subscribers = [s for s in self._store.subscriptions.all.values() if s.meeting_id == meeting.id]
        for subscription in subscribers:
            for event in events:
                fault = self._faults.of_delivery()
                if fault != "drop":
                    self._enqueue(self._pending(subscription, event, None), fault)
            lifecycle = self._faults.of_lifecycle() if events else None
            if lifecycle is not None:
                self._tell_lifecycle(subscription, lifecycle)

    async def validates(self, url: str, token: str) -> bool:
        """POST {url}?validationToken=...: 200, text/plain, the token and nothing else, within 10 s."""
        target = httpx.URL(url).copy_merge_params({"validationToken": token})
        try:
            async with asyncio.timeout(VALIDATE_WITHIN_SECONDS):
                answer = await self._client().post(target, headers={"Content-Type": "text/plain; charset=utf-8"})
        except (httpx.HTTPError, TimeoutError) as e:
            self._log.warning("validation failed", path=target.path, problem=type(e).__name__)
            return False
        plain = answer.headers.get("content-type", "").split(";")[0].strip() == "text/plain"
        return answer.status_code == 200 and plain and answer.text == token

    # --- sending -------------------------------------------------------------------------------------------------

    def _enqueue(self, pending: Pending, fault: str | None) -> None:
        """First attempts go out one after another for each subscription; retries on their own."""
        queue = self._queues.get(pending.subscription.id)
        if queue is None:
            queue = self._queues[pending.subscription.id] = asyncio.Queue()
            self._spawn(self._send_in_turn(queue))
        queue.put_nowait((pending, fault))

    async def _send_in_turn(self, queue: asyncio.Queue[tuple[Pending, str | None]]) -> None:
        held: tuple[Pending, asyncio.Event] | None = None
        while True:
            pending, fault = await queue.get()
            if fault == "disorder" and held is None:
                held = (pending, asyncio.Event())
                self._spawn(self._send_held(*held))
                continue
            await self._attempt(pending)
            if fault == "duplicate":
                await self._post(pending)
            if held is not None:
                held[1].set()
                held = None

    async def _send_held(self, pending: Pending, released: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(HOLD_BACK_SECONDS):
                await released.wait()
        await self._attempt(pending)

    async def _attempt(self, pending: Pending) -> None:
        if await self._post(pending):
            self._store.pending.remove(pending.id)
        elif self._clock() - pending.created_at > RETRY_FOR_SECONDS:
            self._log.error("notification given up", attempts=pending.attempts + 1)
            self._store.pending.remove(pending.id)
        else:
            pending.attempts += 1
            self._store.pending.put(pending)
            self._spawn(self._retry(pending))

    async def _retry(self, pending: Pending) -> None:
        await asyncio.sleep(BACK_OFF_SECONDS[min(pending.attempts, len(BACK_OFF_SECONDS)) - 1])
        await self._attempt(pending)

    async def _post(self, pending: Pending) -> bool:
        """Whether it is done with: accepted, or nobody is subscribed any more."""
        subscription = self._store.subscriptions.all.get(pending.subscription.id)
        if subscription is None and pending.event is not None:
            return True
        subscription = subscription or pending.subscription
        lifecycle = pending.lifecycle_event is not None
        url = (subscription.lifecycle_url if lifecycle else None) or subscription.notification_url
        body = self._lifecycle_body(subscription, pending) if lifecycle else self._event_body(subscription, pending)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                answer = await self._client().post(url, json=body)
        except (httpx.HTTPError, TimeoutError) as e:
            self._log.info("notification not delivered", problem=type(e).__name__, attempts=pending.attempts + 1)
            return False
        if answer.is_success:
            return True
        self._log.info("notification not accepted", status=answer.status_code, attempts=pending.attempts + 1)
        return False

    def _event_body(self, subscription: Subscription, pending: Pending) -> dict[str, Any]:
        assert pending.event is not None
        token = notification_token(
            self._key,
            self._entra_url,
            tenant_id=subscription.tenant_id,
            application_id=subscription.application_id,
            now=int(self._clock()),
        )
        item = self._item(subscription) | {
            "changeType": "updated",
            "resource": subscription.resource,
            "resourceData": {
                "@odata.type": "#microsoft.graph.callEvent",
                "@odata.id": f"{subscription.resource}/{pending.event['id']}",
                "id": pending.event["id"],
            },
            "encryptedContent": encrypted_content(pending.event, subscription.certificate, subscription.certificate_id),
        }
        return {"value": [item], "validationTokens": [token]}

    def _lifecycle_body(self, subscription: Subscription, pending: Pending) -> dict[str, Any]:
        item = self._item(subscription) | {
            "lifecycleEvent": pending.lifecycle_event,
            "organizationId": subscription.tenant_id,
            "resource": subscription.resource,
        }
        return {"value": [item]}

    @staticmethod
    def _item(subscription: Subscription) -> dict[str, Any]:
        return {
            "subscriptionId": subscription.id,
            "subscriptionExpirationDateTime": graph_time(subscription.expires),
            "clientState": subscription.client_state,
            "tenantId": subscription.tenant_id,
        }

    # --- lifecycle -----------------------------------------------------------------------------------------------

    async def _watch_expiry(self) -> None:
        while True:
            now = datetime.fromtimestamp(self._clock(), UTC)
            for subscription in list(self._store.subscriptions.all.values()):
                if subscription.expires <= now:
                    self._store.subscriptions.remove(subscription.id)
                elif subscription.expires - now < REAUTHORIZE_BEFORE and not subscription.reauthorization_sent:
                    subscription.reauthorization_sent = True
                    self._store.subscriptions.put(subscription)
                    self._tell_lifecycle(subscription, "reauthorizationRequired")
            await asyncio.sleep(1)

    def _tell_lifecycle(self, subscription: Subscription, event: str) -> None:
        if event == "subscriptionRemoved":
            self._store.subscriptions.remove(subscription.id)
        if subscription.lifecycle_url is not None:
            self._enqueue(self._pending(subscription, None, event), None)

    # --- parts ---------------------------------------------------------------------------------------------------

    def _pending(self, subscription: Subscription, event: CallEvent | None, lifecycle: str | None) -> Pending:
        pending = Pending(
            id=str(uuid.uuid4()),
            subscription=subscription,
            event=event,
            lifecycle_event=lifecycle,
            created_at=self._clock(),
        )
        self._store.pending.put(pending)
        return pending

    def _client(self) -> httpx.AsyncClient:
        """Made at first use: the certificate authority exists by then."""
        if self._http is None:
            self._http = httpx.AsyncClient(
                verify=tls.client_context(self._state), trust_env=False, follow_redirects=False, timeout=15
            )
        return self._http

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
