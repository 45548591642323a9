"""The bot's updates: the queue, long polling and the webhook."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from tests.telegram.botapi_requests import Refusal, bad, decoded, flag
from tests.telegram.botapi_text import Json

OTHER_POLL = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK_ON = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)


@dataclass
class Webhook:
    """Where updates are pushed to, and how the last push failed."""

    url: str
    secret: str
    max_connections: int
    gate: asyncio.Semaphore
    error: str = ""
    error_at: int = 0


class Updates:
    """Every update of one bot, and how it gets them."""

    def __init__(self, backoff: float, now: Callable[[], int], changed: Callable[[], None]) -> None:
        self.history: dict[int, Json] = {}
        self.pending: list[Json] = []  # not acknowledged yet
        self.webhook: Webhook | None = None
        self.backoff, self.timeout = backoff, 10.0  # seconds; the backoff doubles with each failure
        self.transport: httpx.AsyncBaseTransport | None = None  # set it to push to an ASGI application in process
        self._now, self._changed = now, changed
        self._allowed: list[str] = []
        self._again: set[int] = set()  # to be repeated although acknowledged
        self._poll: asyncio.Future[str] | None = None
        self._pushers: dict[tuple[str, int], asyncio.Task[None]] = {}

    def add(self, kind: str, content: Json) -> int:
        """Make an update; returns its number."""
        number = 5001 + len(self.history)
        self.history[number] = {"update_id": number, kind: copy.deepcopy(content)}
        if not self._allowed or kind in self._allowed:
            self.pending.append(self.history[number])
        self.wake()
        return number

    def repeat(self, number: int) -> None:
        """Deliver an update once more, acknowledged or not."""
        self.pending.insert(0, self.history[number])
        self._again.add(number)
        self.wake()

    @property
    def polled(self) -> bool:
        """Whether a poll is waiting."""
        return self._poll is not None and not self._poll.done()

    def wake(self) -> None:
        """Hand out what is pending."""
        if self.pending:
            self._end_poll("")
        if self.webhook:
            for queue in {_queue(update) for update in self.pending} - self._pushers.keys():
                self._pushers[queue] = asyncio.create_task(self._push(queue, self.webhook))
        self._changed()

    async def stop(self) -> None:
        """End the poll and all pushes; what is pending stays."""
        self._end_poll("")
        await self._stop_pushing()

    def _end_poll(self, conflict: str) -> None:
        if self._poll and not self._poll.done():
            self._poll.set_result(conflict)

    async def do_getupdates(self, params: Json) -> list[Json]:
        """Long polling. As with the real server, a newer poll ends the waiting one with 409."""
        if self.webhook:
            raise Refusal(409, WEBHOOK_ON)
        offset, limit = int(params.get("offset", 0)), min(max(int(params.get("limit", 100)), 1), 100)
        self._allow(params)
        if offset < 0:
            self.pending = self.pending[offset:]
        elif offset:
            self.pending = [
                update for update in self.pending if update["update_id"] >= offset or update["update_id"] in self._again
            ]
        if not self.pending and (timeout := float(params.get("timeout", 0))):
            self._end_poll(OTHER_POLL)
            poll = self._poll = asyncio.get_running_loop().create_future()
            self._changed()
            await asyncio.wait({poll}, timeout=min(timeout, 50))
            if poll.done() and poll.result():
                raise Refusal(409, poll.result())
            poll.cancel()
        ready = self.pending[:limit]
        self._again -= {update["update_id"] for update in ready}
        return ready

    def _allow(self, params: Json) -> None:
        if "allowed_updates" in params:
            self._allowed = decoded(params, "allowed_updates") or []

    async def do_setwebhook(self, params: Json) -> bool:
        """Start pushing."""
        url, secret = str(params.get("url", "")), str(params.get("secret_token", ""))
        if not url:
            return await self.do_deletewebhook(params)
        address = httpx.URL(url)
        if address.scheme != "https" and address.host not in ("127.0.0.1", "localhost", "testserver"):
            bad("bad webhook: An HTTPS URL must be provided for webhook")
        if len(secret) > 256:
            bad("secret token is too long")
        if not re.fullmatch("[A-Za-z0-9_-]*", secret):
            bad("secret token contains unallowed characters")
        await self.do_deletewebhook(params)
        self._end_poll("Conflict: terminated by setWebhook request")
        self._allow(params)
        most = int(params.get("max_connections", 40))
        self.webhook = Webhook(url, secret, most, asyncio.Semaphore(most))
        self.wake()
        return True

    async def do_deletewebhook(self, params: Json) -> bool:
        """Stop pushing."""
        await self._stop_pushing()
        self.webhook = None
        if flag(params, "drop_pending_updates"):
            self.pending.clear()
        return True

    async def do_getwebhookinfo(self, params: Json) -> Json:
        """How pushing goes."""
        info: Json = {"url": "", "has_custom_certificate": False, "pending_update_count": len(self.pending)}
        if self._allowed:
            info["allowed_updates"] = self._allowed
        if hook := self.webhook:
            info |= {"url": hook.url, "max_connections": hook.max_connections, "ip_address": "127.0.0.1"}
            if hook.error:
                info |= {"last_error_date": hook.error_at, "last_error_message": hook.error}
        return info

    async def _push(self, queue: tuple[str, int], hook: Webhook) -> None:
        """Push one queue's updates in order. As with the real server, each chat and each person's taps are a queue."""
        delay = self.backoff
        try:
            while update := next((update for update in self.pending if _queue(update) == queue), None):
                async with hook.gate:
                    error = await self._posted(hook, update)
                if error:
                    hook.error, hook.error_at = error, self._now()
                    self._changed()
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, 60)
                else:
                    self._again.discard(update["update_id"])
                    self.pending.remove(update)
                    delay = self.backoff
                    self._changed()
        finally:
            self._pushers.pop(queue, None)

    async def _posted(self, hook: Webhook, update: Json) -> str:
        """Why a push failed, in the real server's words; empty if it did not."""
        headers = {"X-Telegram-Bot-Api-Secret-Token": hook.secret} if hook.secret else {}
        try:
            async with httpx.AsyncClient(
                transport=self.transport, timeout=self.timeout, trust_env=False, verify=False
            ) as client:
                answer = await client.post(hook.url, json=update, headers=headers)
        except httpx.TimeoutException:
            return "Read timeout expired"
        except httpx.ConnectError:
            return "Connection refused"
        except httpx.HTTPError:
            return "Webhook connection closed"
        if answer.is_success:
            return ""
        return f"Wrong response from the webhook: {answer.status_code} {answer.reason_phrase}"

    async def _stop_pushing(self) -> None:
        pushers = list(self._pushers.values())
        for pusher in pushers:
            pusher.cancel()
        await asyncio.gather(*pushers, return_exceptions=True)


def _queue(update: Json) -> tuple[str, int]:
    kind = next(key for key in update if key != "update_id")
    return kind, update[kind]["from" if kind == "callback_query" else "chat"]["id"]
