"""Text messages: any gateway that takes an HTTP request, or the log where none is configured."""

import json
import logging
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import quote_plus

import httpx

from desk import masks
from desk.settings import Settings

TIMEOUT: Final = 10.0  # seconds for one message
JSON: Final = "application/json"
log = logging.getLogger("greenline.sms")


class Trouble(StrEnum):
    """Why a message did not go out."""

    UNREACHABLE = "unreachable"  # no connection, or no answer in time: it may have been sent
    BUSY = "busy"  # the gateway says that it cannot now
    REFUSED = "refused"  # it will never take this: wrong key, template or number


class SmsFailed(Exception):
    """A message did not go out, or it is not known that it did."""

    def __init__(self, trouble: Trouble, problem: str) -> None:
        self.trouble = trouble
        super().__init__(f"{trouble}: {problem}")

    @property
    def passing(self) -> bool:
        """Whether trying again can help."""
        return self.trouble is not Trouble.REFUSED


class Sms(Protocol):
    """Sends text messages to phones."""

    async def send(self, phone: str, text: str) -> None:
        """Hand one message over. Raises SmsFailed."""


class ConsoleSms:
    """For trying things out: the message stands in the log, to be read by whoever runs the program."""

    async def send(self, phone: str, text: str) -> None:
        """Write the message to the log."""
        log.info("no gateway configured, message to %s: %s", masks.phone(phone), text)


class HttpSms:
    """A gateway that takes a POST: `{phone}` and `{text}` in the body's template, escaped for JSON or for a form."""

    def __init__(self, url: str, *, body: str, headers: dict[str, str], success: str = "") -> None:
        self._url, self._body, self._success = url, body, success
        self._headers = httpx.Headers({"Content-Type": JSON})
        self._headers.update(headers)

    async def send(self, phone: str, text: str) -> None:
        """Post one message. Raises SmsFailed; nothing of the message stands in the error."""
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT) as http:
                answer = await http.post(self._url, content=self._filled(phone, text), headers=self._headers)
        except httpx.HTTPError as error:
            raise SmsFailed(Trouble.UNREACHABLE, type(error).__name__) from None
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
            raise SmsFailed(Trouble.BUSY, str(answer.status_code))
        if not answer.is_success or self._success not in answer.text:
            raise SmsFailed(Trouble.REFUSED, str(answer.status_code))
        log.info("message sent to %s", masks.phone(phone))

    def _filled(self, phone: str, text: str) -> bytes:
        form = "form-urlencoded" in self._headers["Content-Type"]
        # in one pass, for a text may itself contain {phone}
        before, *rest = self._body.split("{text}")
        parts = [part.replace("{phone}", _escaped(phone, form)) for part in (before, *rest)]
        return _escaped(text, form).join(parts).encode()


def _escaped(value: str, form: bool) -> str:
    return quote_plus(value) if form else json.dumps(value, ensure_ascii=False)[1:-1]


def from_settings(settings: Settings) -> Sms:
    """The configured gateway, or the log."""
    if settings.sms_url is None:
        return ConsoleSms()
    headers = settings.sms_headers.get_secret_value() if settings.sms_headers else "{}"
    return HttpSms(settings.sms_url, body=settings.sms_body, headers=json.loads(headers), success=settings.sms_success)
