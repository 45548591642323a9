"""The access log: every reveal and every refused try, in the transaction that fetches the data."""

import pytest

from desk import access
from desk.conversations import Contact
from desk.customers import Account, AccountContact, Customer, How
from desk.permissions import Permission
from desk.staff import Role, Staff
from desk.store import Store
from tests.conftest import MONDAY, SetClock


@pytest.fixture
async def electrician(store: Store) -> int:
    """A village electrician who serves account 1234567890 (old number 0007), but not 1234567891."""
    async with store.transaction() as db:
        customer = Customer(name="滨江纺织", created_at=MONDAY)
        proxy = Staff(name="村电工", role=Role.PROXY, created_at=MONDAY)
        db.add_all([customer, proxy])
        await db.flush()
        assert customer.id and proxy.id
        for no, old, mine in (("1234567890", "0007", proxy.id), ("1234567891", None, None)):
            account = Account(
                no=no, old_no=old, customer_id=customer.id, name="滨江纺织", address="滨江路 8 号", proxy_id=mine,
                updated_at=MONDAY,
            )  # fmt: skip
            db.add(account)
            await db.flush()
            now, former = (
                Contact(name="周文彬", phone="13800138000", created_at=MONDAY),
                Contact(name="前任", created_at=MONDAY),
            )
            db.add_all([now, former])
            await db.flush()
            for contact, ended in ((now, None), (former, MONDAY)):
                db.add(
                    AccountContact(
                        account_id=account.id or 0, contact_id=contact.id or 0, how=How.ARCHIVE, since=MONDAY, ended_at=ended
                    )
                )  # fmt: skip
    return proxy.id


async def reveals(store: Store, no: str, proxy: int | None = None) -> list[str] | None:
    """Who speaks for an account, as `by` sees it."""
    async with store.transaction() as db:
        found = await access.reveal(db, no, reason="call back", by="林岚", role="agent", at=MONDAY, proxy=proxy)
    return [contact.phone for contact, _ in found[1]] if found else None


async def lines(store: Store) -> list[tuple[str, str, str]]:
    async with store.transaction() as db:
        return [(line.action, line.subject, line.reason) for line in await access.read(db)]


async def test_a_reveal_shows_who_speaks_for_the_account_now_and_is_written_down(
    store: Store, electrician: int
) -> None:
    assert await reveals(store, "1234567890") == ["13800138000"]
    assert await lines(store) == [(Permission.CUSTOMERS_REVEAL, "account:1234567890", "call back")]


async def test_the_old_number_is_logged_as_the_account_it_means(store: Store, electrician: int) -> None:
    assert await reveals(store, "0007") == ["13800138000"]
    assert [subject for _, subject, _ in await lines(store)] == ["account:1234567890"]


async def test_an_electrician_sees_own_accounts_and_of_others_not_even_that_they_exist(
    store: Store, electrician: int
) -> None:
    assert await reveals(store, "1234567890", proxy=electrician) == ["13800138000"]
    assert await reveals(store, "1234567891", proxy=electrician) is None
    assert await reveals(store, "9999999999", proxy=electrician) is None
    assert [(subject, reason == access.REFUSED) for _, subject, reason in await lines(store)] == [
        ("account:9999999999", True), ("account:1234567891", True), ("account:1234567890", False),
    ]  # fmt: skip


async def test_a_reveal_that_does_not_commit_is_not_in_the_log_and_gave_nothing(store: Store, electrician: int) -> None:
    with pytest.raises(RuntimeError, match="before the end"):
        async with store.transaction() as db:
            await access.reveal(db, "1234567890", reason="call back", by="林岚", role="agent", at=MONDAY)
            raise RuntimeError("before the end")
    assert await lines(store) == []


async def test_the_log_is_read_latest_first_in_pages_by_caller_and_by_subject(store: Store, clock: SetClock) -> None:
    async with store.transaction() as db:
        for number in range(5):
            await access.log(
                db, by=f"staff {number % 2}", role="agent", action="x", subject=f"account:{number}", reason="why",
                at=clock.forward(minutes=1),
            )  # fmt: skip
        first = await access.read(db, limit=2)
        rest = await access.read(db, before=first[-1].id)
        assert [line.subject for line in [*first, *rest]] == [f"account:{number}" for number in (4, 3, 2, 1, 0)]
        assert [line.subject for line in await access.read(db, by="staff 1")] == ["account:3", "account:1"]
        assert [line.by for line in await access.read(db, subject="account:2")] == ["staff 0"]
