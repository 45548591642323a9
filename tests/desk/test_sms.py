"""Text messages: through a real gateway over HTTP, or into the log."""

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import pytest

from desk import settings, sms
from desk.errors import SetupError
from desk.settings import Settings
from desk.sms import ConsoleSms, HttpSms, SmsFailed, Trouble
from tests.conftest import free_port

PHONE = "13800000001"
TEXT = '您的"验证码"是 123456\n{phone}\\'


@dataclass
class Gateway:
    """What a gateway got, and what it will answer."""

    url: str
    status: int = 200
    answer: str = '{"code":0}'
    got: list[tuple[dict[str, str], str]] = field(default_factory=list)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            found.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(found.status)
            self.end_headers()
            self.wfile.write(found.answer.encode())

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Gateway(f"http://127.0.0.1:{server.server_port}/send")
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def configured(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


async def test_a_message_fills_the_template_whatever_it_contains(gateway: Gateway) -> None:
    body = '{"to": ["{phone}"], "message": {"content": "{text}", "again": "{text}"}}'
    config = configured(sms_url=gateway.url, sms_body=body, sms_headers='{"Authorization": "Bearer k"}')
    await sms.from_settings(config).send(PHONE, TEXT)
    [(headers, sent)] = gateway.got
    assert json.loads(sent) == {"to": [PHONE], "message": {"content": TEXT, "again": TEXT}}
    assert (headers["authorization"], headers["content-type"]) == ("Bearer k", "application/json")


async def test_a_gateway_that_wants_a_form_gets_one(gateway: Gateway) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    await HttpSms(gateway.url, body="mobile={phone}&content={text}&v=1", headers=form).send(PHONE, TEXT)
    [(_, sent)] = gateway.got
    assert parse_qs(sent) == {"mobile": [PHONE], "content": [TEXT], "v": ["1"]}


@pytest.mark.parametrize(
    ("status", "answer", "trouble", "passing"),
    [
        (503, "", Trouble.BUSY, True), (429, "", Trouble.BUSY, True), (401, "", Trouble.REFUSED, False),
        (302, "", Trouble.REFUSED, False), (200, '{"code":7}', Trouble.REFUSED, False),
    ],
)  # fmt: skip
async def test_what_went_wrong_is_told_apart(
    gateway: Gateway, status: int, answer: str, trouble: Trouble, passing: bool
) -> None:
    gateway.status, gateway.answer = status, answer
    with pytest.raises(SmsFailed) as caught:
        await HttpSms(gateway.url, body="{phone}{text}", headers={}, success='"code":0').send(PHONE, TEXT)
    assert (caught.value.trouble, caught.value.passing) == (trouble, passing)
    assert PHONE not in str(caught.value) and "123456" not in str(caught.value)


async def test_words_of_success_let_an_answer_pass(gateway: Gateway) -> None:
    await HttpSms(gateway.url, body="{phone}{text}", headers={}, success='"code":0').send(PHONE, TEXT)
    assert len(gateway.got) == 1


async def test_a_gateway_that_is_away_may_come_back() -> None:
    with pytest.raises(SmsFailed) as caught:
        await HttpSms(f"http://127.0.0.1:{free_port()}/", body="{phone}{text}", headers={}).send(PHONE, TEXT)
    assert (caught.value.trouble, caught.value.passing) == (Trouble.UNREACHABLE, True)


async def test_a_gateway_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sms, "TIMEOUT", 0.1)
    over = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SmsFailed, match="ReadTimeout"):
            await HttpSms(f"http://127.0.0.1:{port}/", body="{phone}{text}", headers={}).send(PHONE, TEXT)
        over.set()


async def test_without_a_gateway_the_message_can_be_read_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "greenline.sms"):
        await sms.from_settings(configured()).send(PHONE, "code 123456")
    assert isinstance(sms.from_settings(configured()), ConsoleSms)
    assert "123456" in caplog.text and "138****0001" in caplog.text and PHONE not in caplog.text


async def test_with_a_gateway_the_log_says_only_that_a_message_went(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "greenline.sms"):
        await sms.from_settings(configured(sms_url=gateway.url)).send(PHONE, "code 123456")
    assert "138****0001" in caplog.text and "123456" not in caplog.text and PHONE not in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sms_url", "ftp://example.org"), ("sms_body", "to={phone}"), ("sms_headers", "Authorization: secret"),
        ("sms_headers", '{"A": 1}'), ("sms_headers", "[]"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_explained_and_headers_are_not_echoed(name: str, value: str) -> None:
    with pytest.raises(SetupError) as caught:
        settings.load(_env_file=None, **{name: value})
    assert caught.value.facts["name"] == f"GREENLINE_{name.upper()}"
    assert name != "sms_headers" or caught.value.facts["value"] == "…"
