"""Signing in through a sign-in service, against a real one over HTTP: every check has a test that it is made."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.oidc import COOKIE
from api.services import Services
from desk import events, staff
from desk.permissions import Role
from desk.store import Store
from tests.api.oidc_provider import CLIENT, SECRET, Provider, providing
from tests.conftest import SetClock

BASE = "http://greenline.test"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with providing(Provider()) as provider:
        yield provider


def browser_of(services: Services, **settings: Any) -> httpx.AsyncClient:
    """A browser at an installation with these settings."""
    app = create_app(replace(services, settings=services.settings.model_copy(update=settings)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport, base_url=BASE, headers={"Accept": "text/html", "Accept-Language": "en"}
    )


@pytest.fixture
async def browser(services: Services, provider: Provider) -> AsyncIterator[httpx.AsyncClient]:
    known = {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SecretStr(SECRET)}
    async with browser_of(services, **known) as browser:
        yield browser


@pytest.fixture
async def lin(store: Store, clock: SetClock) -> None:
    """林岚 is on the staff list, without a password."""
    async with store.transaction() as db:
        await staff.add(db, "林岚", Role.AGENT, hashed=None, by="test", at=clock.now())


async def at_the_service(browser: httpx.AsyncClient, wanted: str = "") -> str:
    """Begin, go through the service, and stand before the door again: the address the service sends us to."""
    begun = await browser.get("/signin/oidc" + (f"?next={wanted}" if wanted else ""))
    assert begun.status_code == 302, begun.text
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(begun.headers["Location"])).headers["Location"]


async def enter(browser: httpx.AsyncClient, wanted: str = "") -> httpx.Response:
    return await browser.get(await at_the_service(browser, wanted))


async def signed_in(browser: httpx.AsyncClient) -> bool:
    answer = await browser.get("/api/v1/sessions/current", headers={"Accept": "application/json"})
    return answer.status_code == 200


async def test_a_known_person_comes_in_and_arrives_where_they_wanted(
    browser: httpx.AsyncClient, lin: None, store: Store
) -> None:
    arrived = await enter(browser, "/customers?tier=A")
    assert (arrived.status_code, arrived.headers["Location"]) == (303, "/customers?tier=A")
    me = (await browser.get("/api/v1/sessions/current")).json()
    assert (me["name"], me["role"]) == ("林岚", "agent")
    assert COOKIE not in browser.cookies
    async with store.transaction() as db:
        assert (await staff.by_name(db, "林岚")).subject == "s-1"
        kinds = [event.kind for event in await events.read(db, limit=1000)]
    assert kinds[-2:] == ["staff.linked", "staff.signed_in"]


async def test_the_next_time_the_subject_counts_and_not_the_name(
    browser: httpx.AsyncClient, provider: Provider, lin: None
) -> None:
    await enter(browser)
    browser.cookies.clear()
    provider.person = {"sub": "s-1", "preferred_username": "a married name"}
    await enter(browser)
    assert (await browser.get("/api/v1/sessions/current")).json()["name"] == "林岚"


async def test_who_is_not_on_the_staff_list_is_refused_in_clear_words(browser: httpx.AsyncClient) -> None:
    refused = await browser.get(f"{await at_the_service(browser)}&lang=en")
    assert refused.status_code == 403
    assert "You are not on the staff list" in refused.text and "林岚" in refused.text
    assert not await signed_in(browser)


async def test_another_subject_cannot_take_a_name_over(
    browser: httpx.AsyncClient, provider: Provider, lin: None
) -> None:
    await enter(browser)
    browser.cookies.clear()
    provider.person = {"sub": "s-2", "preferred_username": "林岚"}
    assert (await enter(browser)).status_code == 403
    assert not await signed_in(browser)


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/%5Cevil.example", "javascript:alert(1)"]
)
async def test_nobody_is_sent_to_another_site(browser: httpx.AsyncClient, lin: None, wanted: str) -> None:
    target = (await enter(browser, wanted)).headers["Location"]
    assert target.startswith("/") and "evil" not in target


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "of another sign-in"},
        {"aud": "another client"},
        {"iss": "https://evil.example"},
        {"exp": 1_000_000_000},
        {"sub": ""},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_claim_that_is_not_for_this_sign_in_is_refused(
    browser: httpx.AsyncClient, provider: Provider, lin: None, wrong: dict[str, Any]
) -> None:
    provider.wrong = wrong
    assert (await enter(browser)).status_code == 403
    assert not await signed_in(browser)


async def test_a_signature_with_an_unpublished_key_is_refused(
    browser: httpx.AsyncClient, provider: Provider, lin: None
) -> None:
    provider.forged = True
    assert (await enter(browser)).status_code == 403
    assert not await signed_in(browser)


async def test_a_provider_that_calls_itself_otherwise_is_refused(
    browser: httpx.AsyncClient, provider: Provider, lin: None
) -> None:
    provider.wrong = {"issuer": "https://evil.example", "iss": "https://evil.example"}
    assert (await enter(browser)).status_code == 403


async def test_the_answer_belongs_to_the_browser_that_asked_and_is_used_once(
    browser: httpx.AsyncClient, services: Services, provider: Provider, lin: None
) -> None:
    door = await at_the_service(browser)
    async with browser_of(services, oidc_issuer=provider.issuer, oidc_client_secret=SecretStr(SECRET)) as victim:
        assert (await victim.get(door)).status_code == 403  # no sign-in begun there
        await at_the_service(victim)
        assert (await victim.get(door)).status_code == 403  # another one begun there: the state differs
    assert (await browser.get(door)).status_code == 303
    assert (await browser.get(door)).status_code == 403
    assert provider.refused == []


async def test_a_changed_state_or_a_cancelled_sign_in_is_refused(browser: httpx.AsyncClient, lin: None) -> None:
    door = await at_the_service(browser)
    code = parse_qs(urlsplit(door).query)["code"][0]
    for query in (f"code={code}&state=another", f"code={code}", "error=access_denied&state=x", "", "state=%00"):
        assert (await browser.get(f"/signin/oidc/callback?{query}")).status_code == 403, query
    assert not await signed_in(browser)


async def test_a_verifier_is_sent_and_checked(browser: httpx.AsyncClient, provider: Provider, lin: None) -> None:
    door = await at_the_service(browser)
    [grant] = provider.grants.values()
    grant["code_challenge"] = "of somebody else"
    assert (await browser.get(door)).status_code == 403
    assert provider.refused == ["verifier"]


async def test_without_a_service_there_is_no_such_page(services: Services) -> None:
    async with browser_of(services) as browser:
        assert (await browser.get("/signin/oidc")).status_code == 404
        assert (await browser.get("/signin/oidc/callback")).status_code == 404


async def test_a_service_that_is_down_is_said_and_tried_again(
    browser: httpx.AsyncClient, provider: Provider, lin: None
) -> None:
    provider.down = True
    assert (await browser.get("/signin/oidc")).status_code == 503
    provider.down = False
    assert (await enter(browser)).status_code == 303


async def test_a_role_claim_sets_the_role_and_without_a_known_role_nobody_comes_in(
    services: Services, provider: Provider, lin: None
) -> None:
    settings = {
        "oidc_issuer": provider.issuer,
        "oidc_client_secret": SecretStr(SECRET),
        "oidc_role_claim": "realm.roles",
    }
    async with browser_of(services, **settings) as browser:
        assert (await enter(browser)).status_code == 403
        provider.person = provider.person | {"realm": {"roles": ["offline", "manager"]}}
        assert (await enter(browser)).status_code == 303
        assert (await browser.get("/api/v1/sessions/current")).json()["role"] == "manager"
        provider.person = provider.person | {"realm": {"roles": []}}
        assert (await enter(browser)).status_code == 403


async def test_behind_https_the_service_sends_people_to_the_public_address(
    services: Services, provider: Provider
) -> None:
    settings = {"oidc_issuer": provider.issuer, "public_url": "https://chat.example.org"}
    async with browser_of(services, **settings) as browser:
        begun = await browser.get("/signin/oidc")
        asked = parse_qs(urlsplit(begun.headers["Location"]).query)
        assert asked["redirect_uri"] == ["https://chat.example.org/signin/oidc/callback"]
        cookie = begun.headers["Set-Cookie"]
        assert "Secure" in cookie and "HttpOnly" in cookie and "Path=/signin/oidc" in cookie and "lax" in cookie.lower()
        assert asked["nonce"][0] not in cookie and asked["state"][0] not in cookie
