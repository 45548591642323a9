"""The annual classification: proposed as often as one likes, confirmed once, and then frozen."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import classification, customers, events
from desk.classification import Classification, ClassificationLine, Stage
from desk.customers import Account, TierChange
from desk.errors import BadCursor, Frozen, NoPurchases, ReasonMissing, UnknownClassification
from desk.events import Event
from desk.store import Store
from desk.tiers import Tier
from tests.desk.purchases import Buyer, buy, no, stock

A, B, C, D = Tier
JANUARY: Final = datetime(2027, 1, 4, 2, 0, tzinfo=UTC)


def falling(count: int, **more: Any) -> list[Buyer]:
    """So many accounts with different purchases, the first the best."""
    return [Buyer(1000 * number, **more) for number in range(count, 0, -1)]


async def propose(store: Store, year: int = 2027, *, at: datetime = JANUARY) -> Classification:
    async with store.transaction() as db:
        return await classification.propose(db, year, by="hall:1", at=at)


async def confirm(store: Store, year: int = 2027, *, by: str = "hall:1", at: datetime = JANUARY) -> Classification:
    async with store.transaction() as db:
        return await classification.confirm(db, year, by=by, at=at)


async def account(store: Store, number: int) -> Account:
    async with store.transaction() as db:
        return await customers.account(db, no(number))


async def line(store: Store, number: int) -> ClassificationLine:
    async with store.transaction() as db:
        run = (await classification.runs(db))[0]
        query = select(ClassificationLine).join(Account, col(Account.id) == ClassificationLine.account_id)
        query = query.where(col(Account.no) == no(number), ClassificationLine.classification_id == run.id)
        return (await db.exec(query)).one()


async def tiers(store: Store) -> list[str]:
    """The tier of every account, in the order of their numbers."""
    async with store.transaction() as db:
        return [str(tier) for tier in (await db.exec(select(Account.tier).order_by(col(Account.no)))).all()]


async def told(store: Store, *kinds: str) -> list[Event]:
    """What has been written into the event table, or those of these kinds."""
    async with store.transaction() as db:
        query = select(Event).order_by(col(Event.id))
        return list((await db.exec(query.where(col(Event.kind).in_(kinds)) if kinds else query)).all())


async def everything(store: Store) -> list[Any]:
    """All that a classification may touch, to compare."""
    async with store.transaction() as db:
        found = []
        for table in ("classification", "classification_line", "account", "tier_change", "event"):
            found.append((await db.execute(text(f"SELECT t.*, t.xmin FROM {table} t ORDER BY id"))).all())
        return found


# -- proposing --------------------------------------------------------------------------------------------------------


async def test_a_proposal_counts_tiers_and_flags_and_changes_no_account(store: Store) -> None:
    buyers = [*falling(18), Buyer(0, 48000, 12), Buyer(None, category="hospital")]
    await stock(store, buyers)
    run = await propose(store)
    assert (run.stage, run.accounts, run.due_on.isoformat()) == (Stage.PROPOSED, 20, "2027-01-31")
    assert run.counts == {
        "tiers": {"A": 1, "B": 0, "C": 3, "D": 16},
        "by_rule": {"A": 1, "B": 0, "C": 3, "D": 16},
        "cuts": {"A": 1, "B": 1, "C": 4},
        "large": 1,
        "important": 1,
        "near": 2,  # 17000 of 18000 yuan; 14000 of 15000
        "without_purchase": 2,
        "up": 4,
        "down": 0,
        "moves": [{"before": "D", "tier": "A", "accounts": 1}, {"before": "D", "tier": "C", "accounts": 3}],
        "ties": [],
    }
    assert await tiers(store) == ["D"] * 20
    assert [event.subject for event in await told(store)] == ["classification:2027"]


async def test_proposing_again_with_the_same_data_changes_nothing_and_says_nothing(store: Store) -> None:
    await stock(store, falling(30))
    await propose(store)
    before = await everything(store)
    again = await propose(store, at=JANUARY + timedelta(days=1))
    assert again.proposed_at == JANUARY
    assert await everything(store) == before


async def test_what_has_not_changed_is_not_computed_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    real = classification.preview

    async def counting(db: AsyncSession, year: int) -> classification.Computed:
        computed.append(year)
        return await real(db, year)

    monkeypatch.setattr(classification, "preview", counting)
    await stock(store, falling(30))
    for _ in range(3):
        await propose(store)
    assert computed == [2027]
    await buy(store, 1, 999_999)
    await propose(store)
    assert computed == [2027, 2027]


async def test_proposing_again_with_corrected_purchases_replaces_lines_and_counts(store: Store) -> None:
    await stock(store, falling(100))
    first = await propose(store)
    assert (await line(store, 50)).tier == D
    await buy(store, 50, 10**9)
    async with store.transaction() as db:
        closed = await customers.account(db, no(100))
        closed.standing = customers.Standing.CLOSED
        db.add(closed)
    second = await propose(store, at=JANUARY + timedelta(hours=1))
    assert second.id == first.id and second.accounts == 99 and second.proposed_at > first.proposed_at
    assert (await line(store, 50)).tier == A and (await line(store, 1)).tier == B
    async with store.transaction() as db:
        assert len(await classification.lines(db, second, limit=500)) == 99
    assert len(await told(store, "classification.proposed")) == 2


async def test_a_preview_writes_nothing_and_says_the_same(store: Store) -> None:
    await stock(store, [*falling(30), Buyer(5000, category="hotel", tier=A)])
    before = await everything(store)
    async with store.transaction() as db:
        preview = await classification.preview(db, 2027)
    assert await everything(store) == before
    run = await propose(store)
    assert (preview.accounts, preview.counts) == (run.accounts, run.counts)
    async with store.transaction() as db:
        written = await classification.lines(db, run, limit=100)
    fields = ("account_id", "tier", "before", "amount", "kwh", "months", "rank", "large", "important")
    assert [[getattr(row, f) for f in fields] for row, _ in written] == [
        [row[f] for f in fields] for row in preview.lines
    ]


@pytest.mark.parametrize("buyers", [[], [Buyer(None), Buyer(None)], [Buyer(100, closed=True)]])
async def test_without_purchases_of_the_year_before_there_is_nothing_to_classify(
    store: Store, buyers: list[Buyer]
) -> None:
    await stock(store, buyers)
    for verb in (propose, confirm):
        with pytest.raises((NoPurchases, UnknownClassification)) as raised:
            await verb(store)
    async with store.transaction() as db:
        with pytest.raises(NoPurchases) as raised:
            await classification.preview(db, 2027)
        assert raised.value.facts == {"year": 2026}
        assert await classification.runs(db) == []
    assert await told(store) == []


async def test_purchases_of_another_year_do_not_count(store: Store) -> None:
    await stock(store, falling(30), year=2025)
    with pytest.raises(NoPurchases):
        await propose(store)
    assert (await propose(store, 2026)).accounts == 30


# -- confirming -------------------------------------------------------------------------------------------------------


async def test_confirming_puts_tiers_and_flags_into_force_with_a_dated_reason(store: Store) -> None:
    await stock(store, [*falling(19, kwh=60000, category="school"), Buyer(1, tier=B)])
    await propose(store)
    run = await confirm(store, by="hall:2")
    assert (run.stage, run.confirmed_by, run.confirmed_at) == (Stage.CONFIRMED, "hall:2", JANUARY)
    assert await tiers(store) == ["A", "C", "C", "C", *["D"] * 16]
    first, last = await account(store, 1), await account(store, 20)
    assert (first.large, first.important, last.large, last.important) == (True, True, False, False)
    async with store.transaction() as db:
        [change] = await customers.tier_history(db, last)
    assert (change.before, change.tier, change.reason, change.by, change.at) == (
        B, D, "classification:2027", "hall:2", JANUARY,
    )  # fmt: skip
    async with store.transaction() as db:
        [moved] = await events.about(db, f"account:{no(20)}", "account.tier_changed")
    assert (moved.by, moved.at) == ("hall:2", JANUARY)
    assert moved.facts == {"before": "B", "tier": "D", "reason": "classification:2027", "year": 2027}
    kinds = [event.kind for event in await told(store)]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "classification.proposed": 1, "classification.confirmed": 1, "account.tier_changed": 5,
        "account.large_changed": 19, "account.importance_changed": 19,
    }  # fmt: skip


async def test_confirming_again_changes_nothing(store: Store) -> None:
    await stock(store, falling(40))
    await propose(store)
    await confirm(store)
    before = await everything(store)
    again = await confirm(store, by="hall:2", at=JANUARY + timedelta(days=3))
    assert again.confirmed_by == "hall:1"
    assert await everything(store) == before


async def test_a_confirmed_year_is_frozen_whatever_is_imported_later(store: Store) -> None:
    await stock(store, falling(40))
    await propose(store)
    await confirm(store)
    await buy(store, 40, 10**9)
    before = await everything(store)
    with pytest.raises(Frozen) as raised:
        await propose(store)
    assert raised.value.facts == {"year": 2027}
    assert await everything(store) == before


async def test_an_earlier_year_cannot_overturn_a_later_one(store: Store) -> None:
    await stock(store, falling(40))
    for number in range(1, 41):
        await buy(store, number, number, year=2025)
    await propose(store, 2026)
    await propose(store, 2027)
    await confirm(store, 2027)
    for verb in (propose, confirm):
        with pytest.raises(Frozen) as raised:
            await verb(store, 2026)
        assert raised.value.facts == {"year": 2027}
    assert (await account(store, 1)).tier == A


async def test_nothing_can_be_confirmed_that_was_not_proposed(store: Store) -> None:
    with pytest.raises(UnknownClassification) as raised:
        await confirm(store)
    assert raised.value.facts == {"year": 2027}


async def test_a_failure_in_the_middle_of_confirming_leaves_everything_as_it_was(store: Store) -> None:
    await stock(store, falling(40))
    await propose(store)
    before = await everything(store)
    with pytest.raises(RuntimeError):
        async with store.transaction() as db:
            await classification.confirm(db, 2027, by="hall:1", at=JANUARY)
            raise RuntimeError("power cut")
    assert await everything(store) == before


async def test_two_halls_that_confirm_at_once_apply_it_once(store: Store) -> None:
    await stock(store, falling(300))
    await propose(store)
    halls = [f"hall:{number}" for number in range(8)]
    runs = await asyncio.gather(*(confirm(store, by=hall) for hall in halls))
    [first] = {run.confirmed_by for run in runs}
    assert first in halls
    assert len(await told(store, "classification.confirmed")) == 1
    changes = await told(store, "account.tier_changed")
    assert len(changes) == len({event.subject for event in changes}) == 60 and {event.by for event in changes} == {
        first
    }
    async with store.transaction() as db:
        assert len((await db.exec(select(TierChange))).all()) == 60


async def test_the_second_hall_waits_while_the_first_is_confirming(store: Store) -> None:
    await stock(store, falling(30))
    await propose(store)
    async with store.transaction() as first:
        await classification.confirm(first, 2027, by="hall:1", at=JANUARY)
        second = asyncio.create_task(confirm(store, by="hall:2"))
        done, _ = await asyncio.wait([second], timeout=0.3)
        assert not done
    assert (await second).confirmed_by == "hall:1"
    assert len(await told(store, "classification.confirmed")) == 1


async def test_proposals_at_once_make_one_classification(store: Store) -> None:
    await stock(store, falling(50))
    runs = await asyncio.gather(*(propose(store) for _ in range(6)))
    assert len({run.id for run in runs}) == 1
    assert len(await told(store, "classification.proposed")) == 1


async def test_confirming_and_proposing_at_once_never_change_a_frozen_year(store: Store) -> None:
    await stock(store, falling(50))
    await propose(store)
    await buy(store, 50, 10**9)
    results = await asyncio.gather(confirm(store), propose(store), confirm(store), return_exceptions=True)
    assert all(not isinstance(r, BaseException) or isinstance(r, Frozen) for r in results), results
    async with store.transaction() as db:
        run = await classification.of(db, 2027)
        for row, account in await classification.lines(db, run, limit=100):
            assert account.tier == row.tier


async def test_operators_who_settle_a_year_at_once_do_it_once(store: Store) -> None:
    await stock(store, falling(50))

    async def settle() -> bool:
        async with store.transaction() as db:
            return await classification.settle(db, 2027, by="operator", at=JANUARY)

    assert sorted(await asyncio.gather(*(settle() for _ in range(5)))) == [False] * 4 + [True]
    before = await everything(store)
    assert not await settle()
    assert await everything(store) == before
    assert (await account(store, 1)).tier == A


async def test_an_account_moved_by_a_person_meanwhile_keeps_a_whole_history(store: Store) -> None:
    await stock(store, falling(100))
    await propose(store)

    async def by_hand(number: int) -> None:
        async with store.transaction() as db:
            held = await customers.account(db, no(number), lock=True)
            await customers.set_tier(db, held, C, reason="big order", by="li", at=JANUARY)

    await asyncio.gather(confirm(store), *(by_hand(number) for number in range(1, 12)))
    async with store.transaction() as db:
        for number in range(1, 101):
            found = await customers.account(db, no(number))
            tier = D
            for change in reversed(await customers.tier_history(db, found)):
                assert change.before == tier
                tier = change.tier
            assert found.tier == tier


async def test_a_hundred_thousand_accounts_are_classified_within_seconds(store: Store) -> None:
    accounts = 100_000
    # everybody moves: the worst case
    await stock(
        store, (Buyer(number * 7 % 99_991, 4000 * 12, tier=C if number % 2 else B) for number in range(accounts))
    )
    took = {}
    began = time.perf_counter()
    run = await propose(store)
    took["propose"] = time.perf_counter() - began
    began = time.perf_counter()
    await propose(store)
    took["again"] = time.perf_counter() - began
    began = time.perf_counter()
    await confirm(store)
    took["confirm"] = time.perf_counter() - began
    assert run.counts["by_rule"] == {"A": 1000, "B": 4000, "C": 15000, "D": 80000}
    moved = run.counts["up"] + run.counts["down"]
    assert moved > 80_000
    async with store.transaction() as db:
        assert await db.scalar(text("SELECT count(*) FROM tier_change")) == moved
        assert await db.scalar(text("SELECT count(*) FROM event WHERE kind = 'account.tier_changed'")) == moved
    assert max(took.values()) < 60, took


# -- explaining -------------------------------------------------------------------------------------------------------


async def test_a_line_explains_itself_by_rank_cut_and_tie(store: Store) -> None:
    buyers = falling(200)
    buyers[2] = buyers[3] = buyers[1]  # places 2 to 4; A ends at 2
    await stock(store, buyers)
    run = await propose(store)
    assert run.counts["tiers"] == {"A": 4, "B": 6, "C": 30, "D": 160}
    assert run.counts["ties"] == [
        {"tier": "A", "cut": 2, "rank": 2, "accounts": 3, "amount": "199000.00", "with": [no(2), no(3), no(4)]}
    ]
    facts = classification.explain(await line(store, 3))
    assert facts == {
        "tier": "A", "rank": 2, "of": 200, "cut": 2, "amount": Decimal("199000.00"), "tied": 2,
        "named": [no(2), no(4)], "raised": True, "short": None, "near": False, "kwh": Decimal(0), "months": 12,
        "large": False, "limit": 4000, "important": False,
    }  # fmt: skip
    fifth = classification.explain(await line(store, 5))
    assert (fifth["tier"], fifth["rank"], fifth["cut"], fifth["short"], fifth["near"]) == ("B", 5, 10, 3000, True)


async def test_a_big_tie_names_three_of_the_others(store: Store) -> None:
    await stock(store, [Buyer(500)] * 30)
    await propose(store)
    facts = classification.explain(await line(store, 30))
    assert facts["tied"] == 29 and facts["named"] == [no(1), no(2), no(3)]
    assert classification.explain(await line(store, 2))["named"] == [no(1), no(3), no(4)]


async def test_accounts_without_purchase_are_not_called_tied(store: Store) -> None:
    await stock(store, [Buyer(10), Buyer(0), Buyer(None), Buyer(0)])
    await propose(store)
    facts = classification.explain(await line(store, 3))
    assert (facts["tier"], facts["cut"], facts["tied"], facts["named"], facts["raised"]) == ("D", 0, 0, [], False)


async def test_lines_are_read_page_by_page_without_gap_or_double(store: Store) -> None:
    await stock(store, [*falling(30), *[Buyer(0)] * 25])
    run = await propose(store)
    seen: list[int] = []
    after = None
    async with store.transaction() as db:
        while page := await classification.lines(db, run, after=after, limit=7):
            seen += [row.account_id for row, _ in page]
            after = classification.cursor(page[-1][0])
        assert len(seen) == len(set(seen)) == 55
        assert [row.rank for row, _ in await classification.lines(db, run, tier=C)] == list(range(4, 12))
        assert len(await classification.lines(db, run, moved=True, limit=100)) == 11
        for wrong in ("x", "1", "1-", "-1-2", "9" * 40 + "-1", "1-2;"):
            with pytest.raises(BadCursor):
                await classification.lines(db, run, after=wrong)


async def test_accounts_near_the_next_tier_are_listed_by_the_latest_classification(store: Store) -> None:
    await stock(store, [Buyer(10000), Buyer(9000), Buyer(Decimal("8999.99")), *[Buyer(10)] * 16, Buyer(0)])
    await propose(store)
    async with store.transaction() as db:
        assert [found.no for _, found in await classification.near_next(db)] == [no(2)]
    await buy(store, 3, 9999)
    await propose(store)
    async with store.transaction() as db:
        assert [found.no for _, found in await classification.near_next(db)] == [no(3), no(2)]


async def test_nobody_is_near_before_anything_was_classified(store: Store) -> None:
    await stock(store, falling(20))
    async with store.transaction() as db:
        assert await classification.near_next(db) == []


# -- changes in mid-year ----------------------------------------------------------------------------------------------


async def test_a_change_in_mid_year_is_dated_with_reason_and_person(store: Store) -> None:
    await stock(store, falling(20))
    at = JANUARY + timedelta(days=150)
    async with store.transaction() as db:
        held = await customers.account(db, no(7), lock=True)
        assert await customers.set_tier(db, held, B, reason="  new furnace ", by="Li Na", at=at)
        assert not await customers.set_tier(db, held, B, reason="again", by="Li Na", at=at)
        assert await customers.set_tier(db, held, C, reason="furnace sold", by="Wang", at=at + timedelta(days=9))
    async with store.transaction() as db:
        history = await customers.tier_history(db, held)
        said = await events.about(db, f"account:{no(7)}", "account.tier_changed")
    assert [(c.before, c.tier, c.reason, c.by, c.at) for c in history] == [
        (B, C, "furnace sold", "Wang", at + timedelta(days=9)),
        (D, B, "new furnace", "Li Na", at),
    ]
    assert [event.facts for event in said] == [
        {"before": "D", "tier": "B", "reason": "new furnace"}, {"before": "B", "tier": "C", "reason": "furnace sold"},
    ]  # fmt: skip


@pytest.mark.parametrize("reason", ["", "  ", "\n\t"])
async def test_nobody_changes_anything_without_a_reason(store: Store, reason: str) -> None:
    await stock(store, falling(20))
    async with store.transaction() as db:
        held = await customers.account(db, no(7), lock=True)
        with pytest.raises(ReasonMissing):
            await customers.set_tier(db, held, B, reason=reason, by="Li Na", at=JANUARY)
        with pytest.raises(ReasonMissing):
            await customers.designate(db, held, reason=reason, by="Li Na", at=JANUARY)
        with pytest.raises(ReasonMissing):
            await customers.end_designation(db, held, reason=reason, by="Li Na", at=JANUARY)
    assert (held.tier, held.important) == (D, False)
    assert await told(store) == []


async def test_a_person_names_an_account_important_and_takes_it_back(store: Store) -> None:
    await stock(store, falling(3))
    async with store.transaction() as db:
        held = await customers.account(db, no(2), lock=True)
        assert await customers.designate(db, held, reason="pumps water", by="Li Na", at=JANUARY)
        assert not await customers.designate(db, held, reason="pumps water", by="Wang", at=JANUARY)
        assert held.important
        assert await customers.designate(db, held, reason="pumps all the water", by="Wang", at=JANUARY)
        current = await customers.designation(db, held)
        assert current is not None and current.reason == "pumps all the water"
        assert await customers.end_designation(db, held, reason="pumps no more", by="Li Na", at=JANUARY)
        assert not held.important
        assert not await customers.end_designation(db, held, reason="pumps no more", by="Li Na", at=JANUARY)
    assert [event.kind for event in await told(store)] == [
        "account.designated", "account.designated", "account.designation_ended",
    ]  # fmt: skip


@pytest.mark.parametrize("category", customers.CATEGORIES)
async def test_a_hospital_stays_important_when_a_designation_ends(store: Store, category: str) -> None:
    await stock(store, [Buyer(1, category=category), Buyer(1)])
    await propose(store)
    await confirm(store)
    async with store.transaction() as db:
        held = await customers.account(db, no(1), lock=True)
        assert held.important
        await customers.designate(db, held, reason="only one in town", by="Li Na", at=JANUARY)
        await customers.end_designation(db, held, reason="a second one opened", by="Li Na", at=JANUARY)
        assert held.important


async def test_a_designation_after_the_proposal_survives_the_confirmation(store: Store) -> None:
    await stock(store, falling(20))
    await propose(store)
    async with store.transaction() as db:
        held = await customers.account(db, no(9), lock=True)
        await customers.designate(db, held, reason="pumps water", by="Li Na", at=JANUARY)
    await confirm(store)
    assert (await account(store, 9)).important
    assert await told(store, "account.importance_changed") == []


async def test_the_coal_mine_flag_is_changed_with_an_event(store: Store) -> None:
    await stock(store, falling(3))
    async with store.transaction() as db:
        held = await customers.account(db, no(2), lock=True)
        assert await customers.set_coal_mine(db, held, True, reason="licence", by="Li Na", at=JANUARY)
        assert not await customers.set_coal_mine(db, held, True, reason="licence", by="Li Na", at=JANUARY)
    assert (await account(store, 2)).coal_mine
    [event] = await told(store)
    assert (event.kind, event.subject, event.by, event.facts) == (
        "account.coal_mine_changed", f"account:{no(2)}", "Li Na", {"coal_mine": True, "reason": "licence"},
    )  # fmt: skip
