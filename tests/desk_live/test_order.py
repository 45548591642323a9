"""Who is served when: the order of ranks, races for one customer, tiers that change, danger that never waits."""

import asyncio
import time
from typing import Any

from desk.permissions import Role
from desk.ranks import Rank
from tests.desk_live.clients import AgentClient, CustomerClient, until
from tests.desk_live.conftest import Gateway, Office


def in_order(line: list[tuple[CustomerClient, Rank]]) -> list[CustomerClient]:
    """Service order of customers in the order in which they joined."""
    return [customer for customer, _ in sorted(line, key=lambda each: each[1])]


async def assert_truthful(line: list[tuple[CustomerClient, Rank]]) -> None:
    """Everybody is shown the place where they stand."""
    expected = list(range(1, len(line) + 1))
    assert await asyncio.gather(*(customer.place() for customer in in_order(line))) == expected


async def test_an_a_customer_who_comes_last_is_served_first_then_first_come_first_served(office: Office) -> None:
    began = office.clock.now()
    agent = await office.agent(capacity=1)
    before = await office.waiting(Rank.D)
    busy = await agent.takes()
    assert busy["conversation"]["id"] == before.conversation
    line: list[tuple[CustomerClient, Rank]] = []
    for rank in (Rank.C, Rank.D, Rank.D, Rank.C, Rank.D, Rank.C, Rank.C, Rank.D, Rank.D, Rank.C):
        line.append((await office.waiting(rank, web=len(line) % 2), rank))
        await assert_truthful(line)
    last_c = line[-1][0]
    assert (await last_c.place()) == 5
    line.append((await office.waiting(Rank.A), Rank.A))
    await assert_truthful(line)
    assert await last_c.place() == 6
    assert (await agent.claim()).status_code == 409  # no place for another
    held, served = busy["conversation"]["id"], []
    for customer in in_order(line):
        await agent.call("POST", f"/conversations/{held}/close", outcome="resolved")
        taken = await agent.takes()
        held = taken["conversation"]["id"]
        assert held == customer.conversation and taken["why"]["passed_over"] == []
        served.append(held)
        line = [each for each in line if each[0] is not customer]
        await assert_truthful(line)
    claims = (await office.happened("queue.claim", since=began))[1:]
    assert [event.facts["conversation"] for event in claims] == served
    for event in claims:
        # the stored line replays the decision: whoever has no cause against them comes first
        stored = event.facts["line"]
        assert stored == sorted(stored, key=lambda each: (each["rank"], each["joined_at"], each["entry"]))
        [first, *_] = [each for each in stored if not each["cause"]]
        assert event.subject == f"queue:{first['entry']}" and first is stored[0]
    await until(lambda: len(agent.heard("handed")) == 12)
    told = [data["id"] for data in agent.heard("handed")]
    assert told == [before.conversation, *served]


async def test_of_three_agents_at_two_servers_one_gets_each_customer_and_the_loser_is_told(office: Office) -> None:
    agents = [await office.agent(web=web, capacity=20) for web in (0, 0, 1)]
    for round in range(8):
        first = await office.waiting(Rank.A)
        joined = time.monotonic()
        if round == 0:
            await until(lambda joined=joined: time.monotonic() - joined >= 1)  # type: ignore[misc]
        second = await office.waiting(Rank.A, web=1)
        answers = await asyncio.gather(*(agent.claim() for agent in agents))
        assert sorted(answer.status_code for answer in answers) == [201, 201, 204]
        owners = {a.json()["conversation"]["id"]: a.json()["conversation"]["agent"] for a in answers if a.content}
        assert set(owners) == {first.conversation, second.conversation} and len(set(owners.values())) == 2
        for customer in (first, second):
            [greeting] = await customer.told("agent_joined")
            assert f"{owners[customer.conversation]:02d}" in greeting["text"]
    # the same customer wanted by three
    for _ in range(4):
        customer = await office.waiting(Rank.A)
        [entry] = (await agents[0].call("GET", "/queue"))["entries"]
        answers = await asyncio.gather(*(agent.claim(entry["id"]) for agent in agents))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
        for answer in answers:
            if answer.status_code == 409:
                assert answer.json()["code"] == "entry_taken" and answer.json()["title"]
        assert len(await customer.told("agent_joined")) == 1
    loads = [agent["load"] for agent in await agents[0].call("GET", "/agents") if agent["status"] == "online"]
    assert sum(loads) == 20


async def test_a_changed_tier_sorts_anew_with_the_old_time_and_is_logged_once(office: Office) -> None:
    began = office.clock.now()
    agent, hall = await office.agent(), await office.console(Role.HALL, web=1)
    early, rich, late = [await office.waiting(rank) for rank in (Rank.B, Rank.A, Rank.B)]

    async def places() -> list[int | None]:
        return [await customer.place() for customer in (early, rich, late)]

    async def entries() -> dict[int, Any]:
        return {each["conversation"]: each for each in (await agent.call("GET", "/queue"))["entries"]}

    async def resorted(customer: CustomerClient) -> list[tuple[str, str]]:
        found = await office.happened("queue.resorted", customer.conversation, since=began)
        return [(event.facts["before"], event.facts["rank"]) for event in found]

    joined = {number: entry["joined_at"] for number, entry in (await entries()).items()}
    assert await places() == [2, 1, 3]
    await hall.call("POST", f"/accounts/{late.no}/tier", tier="A", reason="new plant")
    assert await places() == [3, 1, 2]  # behind the A customer who was there before
    await hall.call("POST", f"/accounts/{early.no}/tier", tier="A", reason="new plant")
    assert await places() == [1, 2, 3]  # with the old time, before everybody who came later
    await hall.call("POST", f"/accounts/{rich.no}/tier", tier="B", reason="closed a plant")
    assert await places() == [1, 3, 2]
    await until(lambda: _all(resorted(early), resorted(late), resorted(rich)))
    assert {number: entry["joined_at"] for number, entry in (await entries()).items()} == joined
    # the usher has looked again and again meanwhile
    looked = len(agent.heard("queue"))
    extra = await office.waiting(Rank.D)
    await until(lambda: len(agent.heard("queue")) > looked)
    assert (await resorted(late), await resorted(early), await resorted(rich)) == (
        [("B", "A")],
        [("B", "A")],
        [("A", "B")],
    )
    order = [(await agent.takes())["conversation"]["id"] for _ in range(4)]
    assert order == [each.conversation for each in (early, late, rich, extra)]


async def _all(*found: Any) -> bool:
    return all([await each for each in found])


async def test_danger_is_told_at_once_to_everybody_and_waits_in_no_queue(office: Office, gateway: Gateway) -> None:
    consoles: list[AgentClient] = [await office.agent(web=web) for web in (0, 1)]
    consoles.append(await (await office.console(Role.SUPERVISOR, web=1)).connect())
    await asyncio.gather(*(office.waiting(Rank.A, web=number % 2) for number in range(20)))
    customer, sent = await office.customer(Rank.D), len(gateway.sent)
    said = await customer.says("电线掉下来冒火花")
    first, *_ = [line for line in said["messages"] if line["direction"] == "out"]
    assert first["name"] == "danger" and said["conversation"]["handler"] == "bot"
    for console in consoles:
        [alarm] = await until(lambda console=console: console.heard("alarm", conversation=customer.conversation))
        assert alarm["text"] == "电线掉下来冒火花" and alarm["acknowledged_at"] is None
    waiting = [each["conversation"] for each in (await consoles[0].call("GET", "/queue"))["entries"]]
    assert len(waiting) == 20 and customer.conversation not in waiting
    [message] = await until(lambda: gateway.sent[sent:])
    assert message["phone"] == "13800000001" and "电线掉下来冒火花" in message["text"]
    done = await consoles[1].call("POST", f"/alarms/{alarm['id']}/acknowledge")
    assert done["acknowledged_by"] and [each["name"] for each in done["told"]] == ["Duty"]
    for console in consoles:
        await until(lambda console=console: len(console.heard("alarm", conversation=customer.conversation)) == 2)
        assert console.heard("alarm", conversation=customer.conversation)[1]["acknowledged_by"]
