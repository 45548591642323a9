"""One-time links over HTTP: made by staff, opened by a customer, in the browser and on Telegram."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from bs4 import BeautifulSoup

from api.app import create_app
from api.services import Services
from desk import events
from desk.permissions import Role
from desk.store import Store
from tests.api.test_tiers import Ask, ask
from tests.conftest import MONDAY
from tests.desk.purchases import Buyer, no, stock
from tests.telegram.conftest import api, equipped, polled
from tests.telegram.world import World

__all__ = ["api", "ask", "equipped", "polled"]
BROWSER: Final = {"Origin": "http://greenline.test"}


@pytest.fixture(autouse=True)
async def archive(store: Store) -> None:
    """Two accounts."""
    await stock(store, [Buyer(1)] * 2)


async def make(ask: Ask, role: str = "hall", number: int = 1, **body: Any) -> dict[str, Any]:
    answer = await ask(role, "POST", f"/accounts/{no(number)}/links", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_link_has_an_address_a_code_to_scan_and_an_end(ask: Ask, store: Store) -> None:
    made = await make(ask)
    url = urlsplit(made["url_web"])
    [token] = parse_qs(url.query)["bind"]
    assert (url.netloc, url.path) == ("greenline.test", "/chat") and re.fullmatch(r"[\w-]{43}", token)
    assert datetime.fromisoformat(made["expires_at"]) == MONDAY + timedelta(hours=72)
    drawn = BeautifulSoup(made["qr_svg"], "html.parser").svg
    assert drawn is not None and drawn["viewbox"] and drawn.find_all("path")
    assert made["url_telegram"] is None
    async with store.transaction() as db:
        [event] = await events.about(db, f"account:{no(1)}", "account.link_made")
    assert event.by == "token:hall" and token not in str(event.facts)


async def test_every_call_makes_another_link(ask: Ask) -> None:
    assert (await make(ask))["url_web"] != (await make(ask))["url_web"]


@pytest.mark.parametrize(
    ("number", "body", "status", "code"),
    [
        (9, {}, 404, "unknown_account"), (1, {"hours": 0}, 422, "bad_input"), (1, {"hours": 721}, 422, "bad_input"),
        (1, {"qr": "fax"}, 422, "bad_input"),
    ],
)  # fmt: skip
async def test_what_cannot_be_made_is_said(ask: Ask, number: int, body: Any, status: int, code: str) -> None:
    answer = await ask("hall", "POST", f"/accounts/{no(number)}/links", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_only_who_may_make_links_makes_them(ask: Ask) -> None:
    for role in Role:
        answer = await ask(role, "POST", f"/accounts/{no(1)}/links")
        assert answer.status_code == (201 if role in ("agent", "hall", "manager", "admin") else 403), role


async def test_opening_a_link_in_the_browser_asks_first_and_a_click_binds(ask: Ask, client: httpx.AsyncClient) -> None:
    made = await make(ask)
    for _ in range(2):  # a program that previews links uses nothing up
        page = await client.get(made["url_web"])
        assert page.status_code == 200 and no(1) not in page.text and "set-cookie" not in page.headers
    form = BeautifulSoup(page.text, "html.parser").form
    assert form is not None and (form["method"], form["action"]) == ("post", "/chat")
    [field] = form.find_all("input")
    sent = await client.post("/chat", data={str(field["name"]): str(field["value"])}, headers=BROWSER)
    assert sent.status_code == 303
    page = await client.get("/chat")
    assert no(1) in page.text and str(field["value"]).partition("-")[2] not in page.text


async def test_another_site_cannot_press_the_button(ask: Ask, client: httpx.AsyncClient) -> None:
    token = (await make(ask))["url_web"].partition("=")[2]
    foreign = {"Origin": "https://elsewhere.example"}
    answer = await client.post("/chat", data={"text": f"/start bind-{token}"}, headers=foreign)
    assert answer.status_code == 403


@pytest.mark.parametrize("token", ["", "a b", "<script>", "a" * 60, "表"])
async def test_a_broken_link_shows_the_chat(client: httpx.AsyncClient, token: str) -> None:
    page = await client.get("/chat", params={"bind": token})
    assert page.status_code == 200 and "/start" not in page.text


async def test_on_telegram_the_deep_link_binds_and_the_code_leads_there(
    polled: World, equipped: Callable[..., Services], ask: Ask
) -> None:
    known = (await ask("hall", "GET", "/areas")).request.headers["Authorization"]
    transport = httpx.ASGITransport(create_app(equipped(public_url="https://chat.example.org")))
    async with httpx.AsyncClient(transport=transport, base_url="http://greenline.test") as http:
        path, headers = f"/api/v1/accounts/{no(2)}/links", {"Authorization": known}
        web, made = [(await http.post(path, headers=headers, json={"qr": qr})).json() for qr in ("web", "telegram")]
    assert made["url_web"].startswith("https://chat.example.org/chat?bind=")
    url = urlsplit(made["url_telegram"])
    [payload] = parse_qs(url.query)["start"]
    assert url.netloc == "t.me" and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", payload)
    assert made["qr_svg"] != web["qr_svg"]
    lin = polled.person()
    await lin.say(f"/start {payload}")
    await lin.wait(lambda inbox: any(no(2) in message.text for message in inbox))
