"""A city with people who work in it: the server that the pages of the staff area are tested and pictured on."""

import asyncio
import re
from datetime import timedelta
from typing import Any, Final

from playwright.async_api import Browser, Locator, Request

from desk import access, areas, classification, customers, demo, staff
from desk.clock import SystemClock
from desk.passwords import Passwords
from desk.permissions import Level, Permission, Role
from desk.store import Store
from desk.tiers import Tier
from tests.browser.visitor import Visitor, enter

PASSWORD: Final = "correct horse 42"
PEOPLE: Final = {
    Role.ADMIN: "周敏", Role.HALL: "林晓", Role.AGENT: "赵强", Role.SUPERVISOR: "孙洁", Role.AUDITOR: "吴昊",
    Role.PUBLISHER: "郑爽", Role.MANAGER: "钱宁",
}  # fmt: skip


def populate(url: str) -> None:
    """The sample city, a year to confirm, one member of staff a role."""

    async def fill() -> None:
        store, clock = Store(url), SystemClock()
        await demo.load(store, clock=clock)
        hashed = await Passwords(rounds=1, kibibytes=1024).hash(PASSWORD)
        at = clock.now()
        async with store.transaction() as db:
            for role, name in PEOPLE.items():
                level = Level.COMPANY if role == Role.MANAGER else Level.AREA
                await staff.add(db, name, role, hashed=hashed, by="greenline", at=at - timedelta(days=40), level=level)
            await areas.area(db, "新城片区", create=True)  # nobody answers for it yet
            for member in await staff.members(db):
                if member.role in (Role.MANAGER, Role.PROXY) and not member.password:
                    member.password = hashed
            await classification.settle(db, 2025, by=PEOPLE[Role.HALL], at=at - timedelta(days=660))
            await classification.propose(db, 2026, by="system", at=at - timedelta(days=300))
        async with store.transaction() as db:
            for reason in ("来电核对联系人", "停电前确认地址"):
                line = {"role": Role.AGENT, "action": Permission.CUSTOMERS_REVEAL, "subject": "account:3309900000023"}
                await access.log(db, by=PEOPLE[Role.AGENT], reason=reason, at=at - timedelta(hours=3), **line)
            await access.refused(
                db,
                by="token:billing",
                role=Role.AUDITOR,
                action=Permission.CUSTOMERS_REVEAL,
                subject="account:3309900000031",
                at=at - timedelta(hours=1),
            )
            found = (await customers.find(db, tier=Tier.B))[0]
            await customers.set_tier(db, found, Tier.A, reason="二期投产，购电量翻倍", by=PEOPLE[Role.HALL], at=at)
        await store.close()

    asyncio.run(fill())


class Colleague(Visitor):
    """A member of staff at a browser."""

    def _failed(self, request: Request) -> None:
        # who opens the next page at once does not wait for the pictures of this one, nor for what the console asks
        ended = ("/static/", "/api/v1/")
        if not (request.failure == "net::ERR_ABORTED" and any(part in request.url for part in ended)):
            super()._failed(request)

    async def sign_in(self, name: str = PEOPLE[Role.HALL], password: str = PASSWORD) -> "Colleague":
        """Through the page, by keyboard."""
        await self.go("/signin")
        await self.page.keyboard.type(name)
        await self.page.keyboard.press("Tab")
        await self.page.keyboard.type(password)
        await self.page.keyboard.press("Enter")
        await self.page.wait_for_url(re.compile(r"/desk(/home)?(\?|$)"))
        return self

    async def go(self, path: str) -> "Colleague":
        """Open a page in this colleague's language."""
        mark = "&" if "?" in path else "?"
        await self.page.goto(f"{self.base}{path}{mark}lang={self.language}")
        return self

    def field(self, label: str) -> Locator:
        """The field with this label."""
        return self.page.get_by_label(label, exact=True)


async def come(browser: Browser, base: str, **options: Any) -> Colleague:
    """A colleague whose browser remembers nothing; signs in with `name`, if it is given."""
    options = {"size": "desk", **options}
    visitor = await enter(browser, base, **options)
    return Colleague(visitor.page, base, visitor.language)


async def cookie(url: str, role: Role) -> str:
    """A session of the member with this role, opened past the form."""
    store = Store(url)
    async with store.transaction() as db:
        member = await staff.by_name(db, PEOPLE[role])
        made = await staff.open_session(db, member, address="192.0.2.7", device="Chrome", at=SystemClock().now())
    await store.close()
    return made
