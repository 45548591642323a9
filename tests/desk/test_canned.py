"""Canned replies: kept by shortcut and language, and the page on which agents look after them."""

import httpx
import pytest

from api.callers import COOKIE
from desk import canned, staff
from desk.errors import NameTaken, UnknownCanned
from desk.permissions import Role
from desk.store import Store
from tests.conftest import MONDAY, SetClock
from tests.desk.floor import after


async def put(store: Store, shortcut: str, text: str, *, language: str = "en", number: int | None = None) -> int:
    """Write one; its number."""
    async with store.transaction() as db:
        found = await canned.put(
            db, number, shortcut=shortcut, language=language, text=text, by="Li", at=after(60) if number else MONDAY
        )
        assert found.id is not None
        return found.id


async def found(store: Store, language: str | None = None) -> list[tuple[str, str, str]]:
    async with store.transaction() as db:
        return [(each.shortcut, each.language, each.text) for each in await canned.replies(db, language)]


async def test_they_are_listed_by_shortcut_and_language(store: Store) -> None:
    await put(store, "thanks", "Thank you, {name}.")
    await put(store, "bye", "Goodbye.")
    await put(store, "bye", "zh", language="zh_CN")
    assert await found(store) == [
        ("bye", "en", "Goodbye."), ("bye", "zh_CN", "zh"), ("thanks", "en", "Thank you, {name}.")
    ]  # fmt: skip
    assert await found(store, "zh_CN") == [("bye", "zh_CN", "zh")]


async def test_a_shortcut_has_one_text_in_a_language(store: Store) -> None:
    number = await put(store, "bye", "Goodbye.")
    other = await put(store, "thanks", "Thank you.")
    for taken in (None, other):
        with pytest.raises(NameTaken):
            await put(store, "bye", "So long.", number=taken)
    assert await put(store, "bye", "So long.", number=number) == number
    async with store.transaction() as db:
        same = await canned.reply(db, number)
    assert (same.text, same.updated_at) == ("So long.", after(60))


async def test_what_is_taken_away_is_gone(store: Store) -> None:
    number = await put(store, "bye", "Goodbye.")
    async with store.transaction() as db:
        await canned.drop(db, number)
    for act in (canned.reply, canned.drop):
        with pytest.raises(UnknownCanned):
            async with store.transaction() as db:
                await act(db, number)


# -- the page ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def agent(store: Store, clock: SetClock, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """An agent who reads English."""
    async with store.transaction() as db:
        member = await staff.add(db, "Li", Role.AGENT, hashed=None, by="test", at=clock.now())
        client.cookies.set(COOKIE, await staff.open_session(db, member, address="", device="", at=clock.now()))
    client.cookies.set("lang", "en")
    client.headers["Origin"] = "http://greenline.test"
    return client


async def test_one_is_added_changed_and_deleted_on_the_page(store: Store, agent: httpx.AsyncClient) -> None:
    form = {"shortcut": "/bye", "language": "en", "text": "Goodbye,\r\n{name}."}
    made = await agent.post("/desk/canned", data=form)
    assert (made.status_code, made.headers["location"]) == (303, "/desk/canned?said=added")
    assert await found(store) == [("bye", "en", "Goodbye,\n{name}.")]
    async with store.transaction() as db:
        [reply] = await canned.replies(db)
    assert reply.by == "Li"
    assert f'href="/desk/canned/{reply.id}"' in (await agent.get("/desk/canned")).text
    shown = (await agent.get(f"/desk/canned/{reply.id}")).text
    assert "Goodbye,\n{name}.</textarea>" in shown
    changed = await agent.post(f"/desk/canned/{reply.id}", data={**form, "text": "So long."})
    assert changed.headers["location"] == "/desk/canned?said=changed"
    assert await found(store) == [("bye", "en", "So long.")]
    gone = await agent.post(f"/desk/canned/{reply.id}/delete")
    assert gone.headers["location"] == "/desk/canned?said=gone"
    assert await found(store) == []
    assert (await agent.get(f"/desk/canned/{reply.id}")).status_code == 404


async def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays(
    store: Store, agent: httpx.AsyncClient
) -> None:
    await put(store, "bye", "Goodbye.")
    good = {"shortcut": "bye", "language": "en", "text": "See you."}
    for wrong, field in (({}, "shortcut"), ({"shortcut": "a b"}, "shortcut"), ({"text": " "}, "text"),
                         ({"language": "fr"}, "language")):  # fmt: skip
        answer = await agent.post("/desk/canned", data={**good, "shortcut": "later", **(wrong or good)})
        assert answer.status_code == 422 and f'id="{field}-wrong"' in answer.text, wrong
        assert answer.text.count('class="wrong"') == 1, wrong
        if field != "text":
            assert "See you.</textarea>" in answer.text
    assert await found(store) == [("bye", "en", "Goodbye.")]
