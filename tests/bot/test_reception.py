"""Into the line and out of it: how customers reach a person, what they are told, and what they are promised."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from desk import storm
from desk.conversations import Channel
from desk.queue import Reason
from desk.ranks import Rank
from tests.bot.hall import Hall
from tests.bot.talk import Customer

UNKNOWN: Final = ("低压居民要多久?", "营业厅几点上班?")
OFFICE: Final[dict[str, Any]] = {"hours": [{"days": [1, 2, 3, 4, 5], "opens": "08:00", "closes": "18:00"}]}


async def reason(hall: Hall, person: Customer) -> Reason | None:
    """Why somebody waits; None = they do not."""
    entry = await hall.entry(person)
    return None if entry is None else Reason(entry.reason)


# -- ways in ----------------------------------------------------------------------------------------------------------


async def test_a_button_and_words_lead_into_the_line(hall: Hall) -> None:
    tapped, said, english = [await hall.customer() for _ in range(3)]
    assert "您排在最前" in await tapped.says(choice="person")
    assert "您排在第 2 位" in await said.says("转人工")
    assert "number 3 in line" in await english.says("I want to talk to a human agent")
    assert [await reason(hall, each) for each in (tapped, said, english)] == ["button", "words", "words"]


async def test_who_waits_already_keeps_the_place(hall: Hall) -> None:
    person = await hall.customer()
    await person.says("转人工")
    first = await hall.entry(person)
    hall.clock.forward(minutes=3)
    await person.says("转人工")
    await person.says(choice="person")
    again = await hall.entry(person)
    assert first and again and (first.id, first.joined_at) == (again.id, again.joined_at)


async def test_the_guide_silent_once_too_often_brings_a_person(hall: Hall) -> None:
    await hall.agent()
    person = await hall.customer()
    await person.says(UNKNOWN[0])
    assert await reason(hall, person) is None
    assert "我答不上来" in await person.says(UNKNOWN[1])
    assert await reason(hall, person) == "abstention" and "silent" in person.names


async def test_how_often_is_a_number_of_the_policy(hall: Hall) -> None:
    await hall.rules(queue={"abstentions": 1})
    await hall.agent()
    person = await hall.customer()
    await person.says(UNKNOWN[0])
    assert await reason(hall, person) == "abstention"


async def test_an_answer_in_between_begins_the_count_again(hall: Hall) -> None:
    await hall.agent()
    person = await hall.customer()
    for text in (UNKNOWN[0], "双电源的供电方案多久能出来?", UNKNOWN[1]):
        await person.says(text)
    assert await reason(hall, person) is None


@pytest.mark.parametrize("text", ["气死我了，到底有没有人管", "This is ridiculous, I am fed up with you"])
async def test_anger_brings_a_person(hall: Hall, text: str) -> None:
    await hall.agent()
    person = await hall.customer()
    await person.says(text)
    assert await reason(hall, person) == "anger" and "queue_joined" in person.names


@pytest.mark.parametrize(("rank", "why"), [(Rank.A, "rule"), (Rank.IMPORTANT, "rule"), (Rank.B, None)])
async def test_the_green_channel_waits_for_no_second_try(hall: Hall, rank: Rank, why: str | None) -> None:
    await hall.agent()
    person = await hall.customer(rank)
    await person.says(UNKNOWN[0])
    assert await reason(hall, person) == why
    if why:
        assert "您走绿色通道，优先接入" in person.last[-1].text


async def test_nobody_is_put_into_the_line_unasked_while_nobody_is_there(hall: Hall) -> None:
    person, important = await hall.customer(), await hall.customer(Rank.A)
    for text in (*UNKNOWN, "气死我了"):
        await person.says(text)
        await important.says(text)
    assert await reason(hall, person) is None and await reason(hall, important) is None
    assert "queue_closed" not in person.names and await hall.promises() == []


async def test_what_the_customer_spoke_of_is_what_somebody_must_know(hall: Hall) -> None:
    person = await hall.customer()
    await person.says("我要投诉你们的抄表员")
    await person.says("转人工")
    entry = await hall.entry(person)
    assert entry and entry.skill == "complaint"


@pytest.mark.parametrize("text", ["转人工", "气死我了，没人管吗"])
async def test_a_group_never_joins(hall: Hall, text: str) -> None:
    await hall.agent()
    group = Customer(hall.assistant, "-100", Channel.TELEGRAM)
    await group.says(text)
    assert await reason(hall, group) is None
    await group.says(choice="person")
    assert await reason(hall, group) is None and group.names == ["person_private"]


# -- when nobody answers ----------------------------------------------------------------------------------------------


async def test_outside_service_hours_a_callback_is_promised_to_who_has_a_right_to_it(hall: Hall) -> None:
    await hall.rules(service=OFFICE)
    hall.clock.forward(hours=10)  # 19:00 on Monday
    known, stranger = await hall.customer(Rank.C), await hall.customer()
    said = await known.says("转人工")
    assert "3月3日 08:00" in said and "我们会在 3月3日 19:00 前给您回电" in said
    assert "您可以先留言" in await stranger.says("转人工") and "给工作人员留言" in stranger.buttons
    assert await reason(hall, known) is None and await reason(hall, stranger) is None
    [promise] = await hall.promises()
    assert promise.due_at == hall.clock.now() + timedelta(hours=24)
    await known.says("转人工")
    assert len(await hall.promises()) == 1  # the same one, said again


async def test_an_agent_who_works_late_takes_customers_at_any_hour(hall: Hall) -> None:
    await hall.rules(service=OFFICE)
    hall.clock.forward(hours=10)
    await hall.agent()
    person = await hall.customer()
    assert "您排在最前" in await person.says("转人工")


async def test_nobody_at_the_desk_within_service_hours_is_said_plainly(hall: Hall) -> None:
    said = await (await hall.customer()).says("转人工")
    assert "现在没有坐席在线" in said and "预计等候" not in said


# -- storms -----------------------------------------------------------------------------------------------------------


async def test_in_a_storm_people_hear_what_is_known_and_can_still_have_a_person(hall: Hall) -> None:
    await hall.agent()
    async with hall.store.transaction() as db:
        await storm.begin(db, "城南线路故障，正在抢修。", by="test", at=hall.clock.now())
    person, critical = await hall.customer(Rank.C), await hall.customer(Rank.A)
    assert "城南线路故障" in await person.says("转人工") and await reason(hall, person) is None
    assert "您排在最前" in await critical.says("转人工")
    assert "您排在第 2 位" in await person.taps("仍要转人工")


# -- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [Rank.A, Rank.IMPORTANT, Rank.B, Rank.C])
async def test_who_leaves_with_a_right_to_it_is_called_back_within_a_day(hall: Hall, rank: Rank) -> None:
    person = await hall.customer(rank)
    await person.says("转人工")
    await person.says("我们厂的变压器要增容")
    entry = await hall.entry(person)
    assert "我们会在 3月3日 09:00 前给您回电" in await person.says(choice="queue:leave")
    [promise] = await hall.promises()
    assert promise.due_at == hall.clock.now() + timedelta(hours=24) and entry
    assert promise.subject == f"queue:{entry.id}" and promise.account_id == entry.account_id
    assert promise.data["last"] == ["转人工", "我们厂的变压器要增容"]
    assert {"account", "holder", "tier", "important", "phone", "name"} <= promise.data.keys()
    assert promise.data["important"] is (rank is Rank.IMPORTANT)
    assert (await hall.talk(person)).handler == "bot"


@pytest.mark.parametrize("rank", [Rank.D, None])
async def test_tier_d_and_unidentified_are_offered_to_leave_a_message(hall: Hall, rank: Rank | None) -> None:
    person = await hall.customer(rank)
    await person.says("转人工")
    assert "写下来" in await person.says("算了")
    assert "给工作人员留言" in person.buttons and await hall.promises() == []
    await person.taps("给工作人员留言")
    assert "LY" in await person.says("红星厂，请回电")


async def test_scenario_7_a_callback_promised_in_the_evening_is_made_before_the_night_or_after_it(hall: Hall) -> None:
    hall.clock.at = datetime(2026, 3, 2, 12, 50, tzinfo=UTC)  # 20:50, ten minutes before nobody is called any more
    person = await hall.customer(Rank.B)
    await person.says("转人工")
    assert "我们会在 3月3日 20:50 前给您回电" in await person.taps("给我回电")
    [promise] = await hall.promises()
    assert (promise.due_at, promise.offer_at) == (hall.clock.now() + timedelta(hours=24), hall.clock.now())
    hall.clock.forward(
        minutes=20
    )  # 21:10: in the night, so it may be made from eight on; the deadline stays a day away
    late = await hall.customer(Rank.B)
    await late.says("转人工")
    await late.taps("给我回电")
    [_, second] = await hall.promises()
    assert second.offer_at == datetime(2026, 3, 3, 0, 0, tzinfo=UTC)
    assert second.due_at == hall.clock.now() + timedelta(hours=24)


async def test_leaving_twice_makes_one_promise_and_says_it_once(hall: Hall) -> None:
    person = await hall.customer(Rank.B)
    await person.says("转人工")
    await person.says(choice="queue:leave")
    await person.says(choice="queue:leave", tapped="2")
    assert len(await hall.promises()) == 1 and person.names == []


# -- where one stands -------------------------------------------------------------------------------------------------


async def test_who_proves_who_they_are_while_waiting_goes_ahead_with_the_old_time(hall: Hall) -> None:
    first, known = await hall.customer(), await hall.customer()
    await first.says("转人工")
    hall.clock.forward(minutes=1)
    await known.says("转人工")
    before = await hall.entry(known)
    hall.clock.forward(minutes=5)
    account = await hall.bind(known, Rank.A)
    await known.says(choice=f"account:{account.id}")
    after = await hall.entry(known)
    assert before and after and (before.rank, after.rank) == (Rank.D, Rank.A)
    assert after.joined_at == before.joined_at and after.account_id == account.id
    assert "下一位就是您" in await known.says("我排到第几位了")
    assert "您现在排在第 2 位，前面还有 1 人" in await first.says("还要等多久")
    assert [e.facts["rank"] for e in await hall.happened("queue.resorted")] == ["A"]


async def test_of_several_accounts_the_one_served_first_counts(hall: Hall) -> None:
    person = await hall.customer(Rank.A)
    await hall.bind(person, Rank.D)
    await person.says("转人工")
    entry = await hall.entry(person)
    assert entry and entry.rank == Rank.A


async def test_the_estimate_is_people_ahead_times_handling_time_by_agents(hall: Hall) -> None:
    for _ in range(2):
        await hall.agent()
    for _ in range(3):
        await (await hall.customer()).says("转人工")
    person = await hall.customer()
    assert "前面还有 3 人，预计等候约 12 分钟" in await person.says("转人工")  # 3 x 8 minutes, two agents


async def test_news_about_the_place_comes_at_most_once_a_minute_but_being_next_at_once(hall: Hall) -> None:
    ahead = [await hall.customer() for _ in range(3)]
    for each in ahead:
        await each.says("转人工")
    person = await hall.customer()
    await person.says("转人工")
    told = len(await hall.told(person))
    await ahead[0].says(choice="queue:leave")
    await hall.usher.attend()
    assert len(await hall.told(person)) == told  # third now, but a place was told only just now
    hall.clock.forward(seconds=61)
    await hall.usher.attend()
    assert "您现在排在第 3 位" in await hall.last(person)
    for each in ahead[1:]:
        await each.says(choice="queue:leave")
    await hall.usher.attend()
    await hall.usher.attend()
    assert len(await hall.told(person)) == told + 2 and "下一位就是您" in await hall.last(person)


async def test_in_a_storm_news_comes_every_five_minutes_but_being_next_at_once(hall: Hall) -> None:
    first, second, third, person = [await hall.customer() for _ in range(4)]
    for each in (first, second, third, person):
        await each.says(choice="person")
    async with hall.store.transaction() as db:
        await storm.begin(db, "", by="test", at=hall.clock.now())
    told = len(await hall.told(person))
    await first.says(choice="queue:leave")
    hall.clock.forward(minutes=2)
    await hall.usher.attend()
    assert len(await hall.told(person)) == told and "下一位就是您" in await hall.last(second)
    hall.clock.forward(minutes=3)
    await hall.usher.attend()
    assert "您现在排在第 3 位" in await hall.last(person)


async def test_while_waiting_only_sure_answers_and_danger_are_replied_to(hall: Hall) -> None:
    person = await hall.customer()
    await person.says("转人工")
    assert await person.says("我们厂的变压器要增容，想问问情况") == ""
    assert "二个月" in await person.says("双电源的供电方案多久能出来?")
    assert "请先保证人身安全" in await person.says("有人触电了")
    assert await hall.entry(person) is not None


async def test_scenario_20_danger_waits_in_no_line(hall: Hall) -> None:
    for _ in range(3):
        await (await hall.customer(Rank.A)).says("转人工")
    witness = await hall.customer()
    said = await witness.says("变压器着火了，有人触电")
    assert said.startswith("请先保证人身安全") and witness.names == ["danger"]
    assert await hall.entry(witness) is None and len(await hall.happened("alarm.raised")) == 1
