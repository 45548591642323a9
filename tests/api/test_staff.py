"""Staff over HTTP: cookies, sessions, second factor, tokens, reveals with a reason, events, headers."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pyotp
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.callers import COOKIE, here
from api.services import Services
from api.staff import hashes
from desk import access, events, staff
from desk.conversations import Contact
from desk.customers import Account, AccountContact, Customer, How
from desk.passwords import Passwords
from desk.permissions import Role
from desk.store import Store
from tests.api.conftest import serving
from tests.conftest import MONDAY, SetClock

BASE = "http://greenline.test"
RIGHT = "correct horse battery"
Browse = Callable[..., httpx.AsyncClient]


async def cheap() -> Passwords:
    """Argon2 with parameters that cost nothing; a new one in every loop."""
    return Passwords(rounds=1, kibibytes=8, threads=1)


@pytest.fixture
def app(services: Services) -> FastAPI:
    app = create_app(services)
    app.dependency_overrides[hashes] = cheap
    return app


@pytest.fixture
async def browse(app: FastAPI) -> AsyncIterator[Browse]:
    """Opens browsers: `browse(address="192.0.2.7")`."""
    opened: list[httpx.AsyncClient] = []

    def browse(*, base: str = BASE, address: str = "192.0.2.1", **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4711))
        known = {"Origin": base, "Accept": "application/json", "User-Agent": "a browser"} | headers
        opened.append(httpx.AsyncClient(transport=transport, base_url=base, headers=known))
        return opened[-1]

    yield browse
    for browser in opened:
        await browser.aclose()


@pytest.fixture
async def hired(store: Store) -> None:
    """boss (admin), 林岚 (agent), 审计 (auditor), 巡检 (supervisor), with one password."""
    hashed = await Passwords(rounds=1, kibibytes=8, threads=1).hash(RIGHT)
    async with store.transaction() as db:
        for name, role in (
            ("boss", Role.ADMIN), ("林岚", Role.AGENT), ("审计", Role.AUDITOR), ("巡检", Role.SUPERVISOR),
        ):  # fmt: skip
            await staff.add(db, name, role, hashed=hashed, by="test", at=MONDAY)


async def enter(browser: httpx.AsyncClient, name: str = "林岚", **given: str) -> httpx.Response:
    return await browser.post("/api/v1/sessions", json={"name": name, "password": RIGHT} | given)


async def entered(browse: Browse, name: str = "林岚", **more: str) -> httpx.AsyncClient:
    browser = browse(**more)
    answer = await enter(browser, name)
    assert answer.status_code == 201, answer.text
    return browser


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# -- the cookie -------------------------------------------------------------------------------------------------------


async def test_signing_in_gives_a_cookie_that_scripts_and_other_sites_cannot_use(browse: Browse, hired: None) -> None:
    answer = await enter(browse())
    assert answer.json() == {
        "name": "林岚", "role": "agent", "language": "zh_CN",
        "permissions": ["customers.read", "customers.reveal", "links.make", "queue.serve", "guide.gap", "guide.learn"],
    }  # fmt: skip
    name, _, attributes = answer.headers["Set-Cookie"].partition(";")
    assert name.startswith(f"{COOKIE}=")
    assert {part.strip().lower() for part in attributes.split(";")} == {
        "httponly", "samesite=lax", "path=/", "max-age=604800",
    }  # fmt: skip
    assert name.removeprefix(f"{COOKIE}=") not in answer.text


async def test_under_https_the_cookie_is_secure_also_behind_a_proxy_that_ends_tls(
    browse: Browse, services: Services, hired: None
) -> None:
    assert "secure" in (await enter(browse(base="https://greenline.test"))).headers["Set-Cookie"].lower()
    public = services.settings.model_copy(update={"public_url": "https://desk.example.org"})
    app = create_app(replace(services, settings=public))
    app.dependency_overrides[hashes] = cheap
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://desk.example.org") as browser:
        answer = await enter(browser)
    assert "secure" in answer.headers["Set-Cookie"].lower()
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")


async def test_signing_out_ends_the_session_and_takes_the_cookie_away(browse: Browse, hired: None) -> None:
    browser = await entered(browse)
    kept = browser.cookies[COOKIE]
    assert (await browser.delete("/api/v1/sessions/current")).status_code == 204
    assert COOKIE not in browser.cookies
    answer = await browse().get("/api/v1/sessions/current", headers={"Cookie": f"{COOKIE}={kept}"})
    assert code(answer) == (401, "not_signed_in")


async def test_nothing_the_answer_says_tells_a_wrong_name_from_a_wrong_password(browse: Browse, hired: None) -> None:
    answers = [await enter(browse(), name, password="wrong") for name in ("林岚", "nobody")]
    assert answers[0].json() == answers[1].json() and code(answers[0]) == (401, "wrong_sign_in")


async def test_a_locked_name_is_told_how_long_to_wait(browse: Browse, hired: None, clock: SetClock) -> None:
    tries = await asyncio.gather(*(enter(browse(address=f"192.0.2.{n}"), password="wrong") for n in range(20)))
    assert sorted(answer.status_code for answer in tries) == [401] * 5 + [429] * 15
    locked = await enter(browse())
    assert code(locked) == (429, "sign_in_locked") and 1 <= int(locked.headers["Retry-After"]) <= 60
    boss = await entered(browse, "boss")
    [row] = [row for row in (await boss.get("/api/v1/staff")).json()["staff"] if row["name"] == "林岚"]
    assert row["locked_until"]
    unlocked = (await boss.post(f"/api/v1/staff/{row['id']}/unlock")).json()
    assert unlocked["locked_until"] is None
    assert (await enter(browse())).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": "x"}, {"name": "", "password": ""}, {"name": "nul\x00", "password": "x"}, {"name": 1, "password": 2},
        {"name": "x", "password": "y" * 1001}, {"name": "x" * 201, "password": "y"}, [], "x",
    ],
)  # fmt: skip
async def test_a_misshapen_sign_in_is_explained_without_repeating_it(browse: Browse, body: Any) -> None:
    answer = await browse().post("/api/v1/sessions", json=body)
    assert code(answer) == (422, "bad_input") and "yyyy" not in answer.text


# -- pages of other sites ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Origin": BASE}, True),
        ({"Origin": "https://greenline.test"}, True),  # a proxy ended TLS
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://greenline.test.evil.example"}, False),
        ({"Origin": "http://greenline.test@evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "", "Referer": f"{BASE}/staff"}, True),
        ({"Origin": "", "Referer": "https://evil.example/?http://greenline.test"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://x.greenline.test", "Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": BASE, "Sec-Fetch-Site": "same-origin"}, True),
    ],
    ids=str,
)
async def test_with_a_cookie_only_our_own_pages_change_anything(
    browse: Browse, hired: None, headers: dict[str, str], allowed: bool
) -> None:
    browser = await entered(browse, "boss")
    del browser.headers["Origin"]
    sent = {name: value for name, value in headers.items() if value}
    answer = await browser.post("/api/v1/tokens", json={"name": "t", "role": "agent"}, headers=sent)
    assert answer.status_code == (201 if allowed else 403), answer.text
    if not allowed:
        assert answer.json()["code"] == "foreign_origin"
        assert (await browser.get("/api/v1/tokens", headers=sent)).status_code == 200  # reading is safe


async def test_signing_in_from_another_site_is_refused_and_without_a_browser_is_not(
    browse: Browse, hired: None
) -> None:
    foreign = browse(Origin="https://evil.example")
    assert code(await enter(foreign)) == (403, "foreign_origin")
    program = browse()
    del program.headers["Origin"]
    assert (await enter(program)).status_code == 201


async def test_a_token_needs_no_origin_and_a_wrong_one_is_not_helped_by_a_cookie(browse: Browse, hired: None) -> None:
    browser = await entered(browse, "boss")
    token = (await browser.post("/api/v1/tokens", json={"name": "t", "role": "admin"})).json()["token"]
    program = browse(Authorization=f"Bearer {token}", Origin="https://elsewhere.example")
    assert (await program.post("/api/v1/tokens", json={"name": "u", "role": "agent"})).status_code == 201
    answer = await browser.get("/api/v1/tokens", headers={"Authorization": "Bearer gl_wrong"})
    assert code(answer) == (401, "not_signed_in")
    # a proxy's own password does not disturb the cookie
    assert (await browser.get("/api/v1/tokens", headers={"Authorization": "Basic eDp5"})).status_code == 200


# -- sessions, password, second factor --------------------------------------------------------------------------------


async def test_sessions_are_listed_and_ended_one_by_one(browse: Browse, hired: None) -> None:
    here_, there, other = (
        await entered(browse),
        await entered(browse, address="192.0.2.9"),
        await entered(browse, "boss"),
    )
    rows = (await here_.get("/api/v1/sessions")).json()["sessions"]
    assert [(row["name"], row["device"]) for row in rows] == [("林岚", "a browser")] * 2
    assert sorted((row["address"], row["current"]) for row in rows) == [("192.0.2.1", True), ("192.0.2.9", False)]
    [elsewhere] = [row["id"] for row in rows if not row["current"]]
    foreign = (await other.get("/api/v1/sessions")).json()["sessions"][0]["id"]
    assert code(await here_.delete(f"/api/v1/sessions/{foreign}")) == (404, "unknown_sign_in")
    assert (await here_.delete(f"/api/v1/sessions/{elsewhere}")).status_code == 204
    assert (await there.get("/api/v1/sessions")).status_code == 401
    mine = (await here_.get("/api/v1/sessions")).json()["sessions"][0]
    path = f"/api/v1/staff/{mine['staff_id']}/sessions"
    assert [row["id"] for row in (await other.get(path)).json()["sessions"]] == [mine["id"]]
    assert code(await other.delete(f"{path}/{foreign}")) == (404, "unknown_sign_in")
    assert (await other.delete(f"{path}/{mine['id']}")).status_code == 204
    assert (await here_.get("/api/v1/sessions")).status_code == 401
    assert code(await other.get("/api/v1/staff/4711/sessions")) == (404, "unknown_staff")


async def test_an_own_password_is_changed_with_the_present_one_and_keeps_this_session(
    browse: Browse, hired: None
) -> None:
    browser, elsewhere = await entered(browse), await entered(browse)
    change = "/api/v1/staff/me/password"
    for wrong in ({"current": "wrong", "password": "another good one"},):
        assert code(await browser.put(change, json=wrong)) == (401, "wrong_sign_in")
    assert code(await browser.put(change, json={"current": RIGHT, "password": "short"})) == (422, "weak_password")
    assert (await browser.put(change, json={"current": RIGHT, "password": "another good one"})).status_code == 204
    assert (await browser.get("/api/v1/sessions")).status_code == 200
    assert (await elsewhere.get("/api/v1/sessions")).status_code == 401
    assert (await enter(browse(), password="another good one")).status_code == 201


async def test_a_stolen_session_is_no_way_to_guess_the_password(browse: Browse, hired: None) -> None:
    browser = await entered(browse)
    guess = {"current": "a guess", "password": "another good one"}
    answers = [await browser.put("/api/v1/staff/me/password", json=guess) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]


async def test_a_second_factor_is_set_up_asked_for_and_taken_away_by_an_administrator(
    browse: Browse, hired: None, clock: SetClock
) -> None:
    browser, boss = await entered(browse), await entered(browse, "boss")
    invited = (await browser.post("/api/v1/staff/me/totp")).json()
    assert invited["uri"].startswith("otpauth://totp/Greenline:") and invited["secret"] in invited["uri"]
    codes = pyotp.TOTP(invited["secret"])
    confirmation = "/api/v1/staff/me/totp/confirmation"
    assert code(await browser.post(confirmation, json={"code": "000000"})) == (401, "wrong_sign_in")
    assert (await browser.post(confirmation, json={"code": codes.at(clock.now())})).status_code == 204
    assert code(await browser.post("/api/v1/staff/me/totp")) == (409, "move_not_allowed")
    clock.forward(minutes=1)
    assert code(await enter(browse())) == (401, "code_needed")
    assert (await enter(browse(), code=codes.at(clock.now()))).status_code == 201
    [row] = [row for row in (await boss.get("/api/v1/staff")).json()["staff"] if row["name"] == "林岚"]
    assert row["second_factor"] is True and "secret" not in json.dumps(row)
    recovered = await boss.delete(f"/api/v1/staff/{row['id']}/totp")
    assert recovered.json()["second_factor"] is False
    assert (await browser.get("/api/v1/sessions")).status_code == 401  # whoever had the phone is out
    assert (await enter(browse())).status_code == 201


async def test_taking_the_own_second_factor_away_needs_a_last_code(
    browse: Browse, hired: None, clock: SetClock
) -> None:
    browser = await entered(browse)
    codes = pyotp.TOTP((await browser.post("/api/v1/staff/me/totp")).json()["secret"])
    await browser.post("/api/v1/staff/me/totp/confirmation", json={"code": codes.at(clock.now())})
    clock.forward(minutes=1)

    async def drop(given: str) -> int:
        request = browser.build_request("DELETE", "/api/v1/staff/me/totp", json={"code": given})
        return (await browser.send(request)).status_code

    assert await drop("000000") == 401
    assert await drop(codes.at(clock.now())) == 204
    assert (await enter(browse())).status_code == 201


# -- administration ---------------------------------------------------------------------------------------------------


async def test_an_administrator_adds_disables_and_lets_back_in(browse: Browse, hired: None) -> None:
    boss = await entered(browse, "boss")
    added = await boss.post("/api/v1/staff", json={"name": "吴桐", "role": "manager"})
    assert added.status_code == 201
    member, password = added.json()["staff"], added.json()["password"]
    assert (member["name"], member["role"], member["service"]) == ("吴桐", "manager", False)
    newcomer = browse()
    assert (await enter(newcomer, "吴桐", password=password)).status_code == 201
    path = f"/api/v1/staff/{member['id']}"
    assert (await boss.post(f"{path}/disable")).json()["disabled_at"]
    assert (await newcomer.get("/api/v1/sessions")).status_code == 401
    assert (await boss.post(f"{path}/enable")).json()["disabled_at"] is None
    fresh = (await boss.post(f"{path}/password", json={})).json()["password"]
    assert (await enter(newcomer, "吴桐", password=password)).status_code == 401
    assert (await enter(newcomer, "吴桐", password=fresh)).status_code == 201
    assert (await boss.post(f"{path}/password", json={"password": "chosen by boss"})).json()["password"] is None
    assert code(await boss.post("/api/v1/staff", json={"name": "吴桐", "role": "agent"})) == (409, "name_taken")
    assert code(await boss.post("/api/v1/staff", json={"name": "a:b", "role": "agent"})) == (422, "bad_name")
    assert code(await boss.post("/api/v1/staff", json={"name": "c", "role": "king"})) == (422, "bad_input")
    assert code(await boss.post("/api/v1/staff/4711/disable")) == (404, "unknown_staff")
    [own] = [row["id"] for row in (await boss.get("/api/v1/staff")).json()["staff"] if row["name"] == "boss"]
    assert code(await boss.post(f"/api/v1/staff/{own}/disable")) == (409, "last_admin")


async def test_the_staff_list_comes_in_pages(browse: Browse, hired: None) -> None:
    boss = await entered(browse, "boss")
    names: list[str] = []
    after: str | None = "0"
    while after:
        page = (await boss.get(f"/api/v1/staff?limit=3&after={after}")).json()
        names += [row["name"] for row in page["staff"]]
        after = page["next"]
    assert names == ["boss", "林岚", "审计", "巡检"]


async def test_a_token_is_shown_once_works_and_stops_when_revoked(browse: Browse, hired: None) -> None:
    boss = await entered(browse, "boss")
    made = (await boss.post("/api/v1/tokens", json={"name": "reports", "role": "supervisor", "days": 30})).json()
    assert made["token"].startswith("gl_") and made["expires_at"].startswith("2026-04-01")
    listed = await boss.get("/api/v1/tokens")
    assert [row["name"] for row in listed.json()["tokens"]] == ["reports"] and "gl_" not in listed.text
    program = browse(Authorization=f"Bearer {made['token']}")
    me = (await program.get("/api/v1/sessions/current")).json()
    assert (me["name"], me["role"]) == ("token:reports", "supervisor")
    assert code(await program.get("/api/v1/sessions")) == (403, "not_permitted")  # a program has none
    assert (await boss.delete(f"/api/v1/tokens/{made['id']}")).status_code == 204
    assert code(await program.get("/api/v1/sessions/current")) == (401, "not_signed_in")
    assert code(await boss.delete(f"/api/v1/tokens/{made['id']}")) == (404, "unknown_token")


# -- personal data ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def account(store: Store) -> str:
    """An account with one contact."""
    async with store.transaction() as db:
        customer, contact = (
            Customer(name="滨江纺织", created_at=MONDAY),
            Contact(name="周文彬", phone="13800138000", created_at=MONDAY),
        )
        db.add_all([customer, contact])
        await db.flush()
        account = Account(
            no="1234567890", customer_id=customer.id or 0, name="滨江纺织", address="滨江路 8 号", updated_at=MONDAY
        )
        db.add(account)
        await db.flush()
        db.add(
            AccountContact(
                account_id=account.id or 0, contact_id=contact.id or 0, how=How.ARCHIVE, role="厂长", since=MONDAY
            )
        )
    return account.no


async def test_an_administrator_says_which_manager_answers_for_the_company(browse: Browse, hired: None) -> None:
    boss, agent = await entered(browse, "boss"), await entered(browse)
    added = (await boss.post("/api/v1/staff", json={"name": "吴桐", "role": "manager"})).json()["staff"]
    assert added["level"] == "area"
    path = f"/api/v1/staff/{added['id']}/level"
    assert code(await agent.put(path, json={"level": "company"})) == (403, "not_permitted")
    for level in ("company", "company", "area", "company"):
        changed = await boss.put(path, json={"level": level})
        assert (changed.status_code, changed.json()["level"]) == (200, level)
    assert code(await boss.put(path, json={"level": "country"})) == (422, "bad_input")
    at_once = await boss.post("/api/v1/staff", json={"name": "方远", "role": "manager", "level": "company"})
    assert (at_once.status_code, at_once.json()["staff"]["level"]) == (201, "company")
    wrong = await boss.post("/api/v1/staff", json={"name": "何静", "role": "agent", "level": "company"})
    assert code(wrong) == (422, "wrong_role")
    told = (await boss.get(f"/api/v1/events?subject=staff:{added['id']}")).json()["events"]
    changes = [event["facts"] for event in told if event["kind"] == "staff.level_set"]
    assert [(facts["before"], facts["level"]) for facts in changes] == [
        ("area", "company"), ("company", "area"), ("area", "company"),
    ]  # fmt: skip


async def test_the_level_of_a_manager_is_changed_on_their_page(browse: Browse, hired: None) -> None:
    boss = await entered(browse, "boss")
    form = {"name": "吴桐", "role": "manager", "company": "1", "password": RIGHT}
    added = await boss.post("/desk/staff", data=form)
    assert added.status_code == 303
    page = added.headers["location"].partition("?")[0]
    wrong = await boss.post("/desk/staff", data=form | {"name": "何静", "role": "agent"})
    assert wrong.status_code == 422 and "role-wrong" in wrong.text
    for act, other in (("narrow", "widen"), ("widen", "narrow")):
        assert f"{page}/{act}" in (await boss.get(page)).text
        assert (await boss.post(f"{page}/{act}")).status_code == 303
        after = (await boss.get(page)).text
        assert f"{page}/{other}" in after and f"{page}/{act}" not in after
    agent = next(row for row in (await boss.get("/api/v1/staff")).json()["staff"] if row["name"] == "林岚")
    assert "/widen" not in (await boss.get(f"/desk/staff/{agent['id']}")).text


async def test_a_reveal_needs_a_reason_and_is_in_the_log_that_only_the_auditor_reads(
    browse: Browse, hired: None, account: str
) -> None:
    agent, auditor, boss = await entered(browse), await entered(browse, "审计"), await entered(browse, "boss")
    path = f"/api/v1/accounts/{account}/reveal"
    for body in ({}, {"reason": ""}, {"reason": "      "}, {"reason": "nul\x00 nul"}):
        assert code(await agent.post(path, json=body)) == (422, "bad_input")
    assert (await auditor.get("/api/v1/access")).json() == {"lines": [], "next": None}
    shown = (await agent.post(path, json={"reason": "客户来电,回拨"})).json()
    assert (shown["no"], shown["contacts"][0]["phone"], shown["contacts"][0]["role"]) == (
        account,
        "13800138000",
        "厂长",
    )
    assert code(await auditor.post(path, json={"reason": "curious"})) == (403, "not_permitted")
    assert code(await agent.post("/api/v1/accounts/9999999999/reveal", json={"reason": "guessing"})) == (
        404,
        "unknown_account",
    )
    assert code(await boss.get("/api/v1/access")) == (403, "not_permitted")
    lines = (await auditor.get("/api/v1/access")).json()["lines"]
    assert [(line["by"], line["subject"], line["reason"], line["refused"]) for line in lines] == [
        ("林岚", "account:9999999999", "refused", True),
        ("审计", f"account:{account}", "refused", True),
        ("林岚", f"account:{account}", "客户来电,回拨", False),
    ]
    one = (await auditor.get("/api/v1/access?limit=1")).json()
    two = (await auditor.get(f"/api/v1/access?limit=1&after={one['next']}")).json()
    assert [one["lines"][0]["id"], two["lines"][0]["id"]] == [line["id"] for line in lines[:2]]
    assert len((await auditor.get("/api/v1/access", params={"by": "林岚"})).json()["lines"]) == 2
    for cursor in ("x", "-1", "٣", "9" * 30):
        assert code(await auditor.get("/api/v1/access", params={"after": cursor})) == (422, "bad_cursor")


async def test_when_the_log_cannot_be_written_nothing_is_shown(
    browse: Browse, hired: None, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await entered(browse)

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no space left")

    monkeypatch.setattr(access, "log", broken)
    answer = await agent.post(f"/api/v1/accounts/{account}/reveal", json={"reason": "call back"})
    assert answer.status_code == 500 and "13800138000" not in answer.text


# -- events -----------------------------------------------------------------------------------------------------------


async def test_events_are_read_once_each_in_pages_and_go_on_where_one_stopped(browse: Browse, hired: None) -> None:
    supervisor = await entered(browse, "巡检")
    seen: list[str] = []
    after: str | None = None
    while True:
        page = (
            await supervisor.get("/api/v1/events", params={"limit": 2} | ({"after": after} if after else {}))
        ).json()
        if not page["events"]:
            break
        seen += [event["id"] for event in page["events"]]
        after = page["next"]
    assert len(seen) == len(set(seen)) and page["next"] == after
    await entered(browse)
    new = (await supervisor.get("/api/v1/events", params={"after": after})).json()["events"]
    assert [(event["kind"], event["by"]) for event in new] == [("staff.signed_in", "林岚")]
    assert code(await supervisor.get("/api/v1/events?after=yesterday")) == (422, "bad_cursor")


async def test_the_stream_of_events_resumes_and_ends_with_the_sign_in(
    services: Services, hired: None, store: Store, clock: SetClock
) -> None:
    async with store.transaction() as db:
        token, plain = await staff.create_token(db, "watch", Role.SUPERVISOR, by="boss", at=clock.now())
    bearer = {"Authorization": f"Bearer {plain}"}

    async with serving(services) as base, httpx.AsyncClient(base_url=base, timeout=20, trust_env=False) as http:
        seen: list[str] = []
        name = ""
        async with http.stream("GET", "/api/v1/events/stream", headers=bearer) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                field, _, value = line.partition(": ")
                name = value if field == "event" else name
                if field == "id":
                    seen.append(value)
                if line == "" and name == "token.created":
                    break
        cursor = seen[-1]
        assert len(set(seen)) == len(seen)

        async with http.stream("GET", "/api/v1/events/stream", headers=bearer | {"Last-Event-ID": cursor}) as answer:
            async with store.transaction() as db:
                await events.record(db, "test.happened", "test:1", by="test", at=clock.now())
            lines = answer.aiter_lines()
            said = [line async for line in _until(lines, "event: test.happened")]
            assert not any("staff.added" in line or "token.created" in line for line in said)
            async with store.transaction() as db:
                await staff.revoke_token(db, token.id or 0, by="boss", at=clock.now())
            assert not any("token.revoked" in line for line in [line async for line in lines])


async def _until(lines: AsyncIterator[str], last: str) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line == last:
            return


# -- pages and headers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("/customers?tier=A&x=%2F", "/customers?tier=A&x=%2F"), ("/", "/"), ("", "/desk"), (None, "/desk"),
        ("//evil.example", "/desk"), ("/\\evil.example", "/desk"), ("https://evil.example", "/desk"),
        ("javascript:alert(1)", "/desk"), ("/a\nb", "/desk"), ("/\t/evil.example", "/desk"), ("desk", "/desk"),
    ],
)  # fmt: skip
def test_after_signing_in_one_stays_on_this_site(wanted: str | None, target: str) -> None:
    assert here(wanted) == target


async def test_a_browser_that_is_not_signed_in_is_sent_to_the_sign_in_page_and_back(browse: Browse) -> None:
    browser = browse(Accept="text/html")
    answer = await browser.get("/desk?day=2")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/signin?next=%2Fdesk%3Fday%3D2")
    part = await browser.get("/desk", headers={"HX-Request": "true", "HX-Current-URL": f"{BASE}/desk?day=3"})
    assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/signin?next=%2Fdesk%3Fday%3D3")
    assert (await browser.get("/api/v1/staff")).status_code == 401


async def test_every_page_carries_strict_headers(browse: Browse) -> None:
    headers = (await browse(Accept="text/html").get("/signin")).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "object-src 'none'" in policy
    assert "unsafe" not in policy and "base-uri 'none'" in policy and "form-action 'self'" in policy
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "same-origin"
    assert "microphone=()" in headers["Permissions-Policy"]
    assert "Strict-Transport-Security" not in headers
