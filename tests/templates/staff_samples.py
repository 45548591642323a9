"""Sample facts for the pages of the staff area, once empty and once full."""

from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

Facts = dict[str, Any]

AT: Final = datetime(2027, 1, 4, 1, 5, tzinfo=UTC)
ME: Final = SimpleNamespace(name="Li Na", role="admin", staff_id=1, session_id=1, language="en")


def moment(at: Any) -> str:
    """As the pages are handed it."""
    return f"{at:%Y-%m-%d %H:%M}" if isinstance(at, datetime) else at.isoformat()


def link(base: str = "/desk", /, **changes: Any) -> str:
    """An address."""
    return f"{base}?{'&'.join(changes)}"


def frame(**facts: Any) -> Facts:
    """Facts of a page, with those of the frame around it."""
    shared = {"me": ME, "may": lambda _: True, "path": "/desk", "said": "", "errors": {}}
    return {**shared, "link": link, "moment": moment, "mask": str, **facts}


def without(**facts: Any) -> Facts:
    """The same for somebody who may do nothing."""
    return frame(**{"may": lambda _: False, **facts})


AREA: Final = SimpleNamespace(id=7, name="North", office="North office", manager_id=2)
STAFF: Final = SimpleNamespace(id=2, name="Wang Wei", role="manager", language="zh_CN", disabled_at=None, created_at=AT)
ACCOUNT: Final = SimpleNamespace(
    id=3, no="3201000021", old_no="021", customer_id=4, name="City Hospital", address="1 Main St", voltage="10 kV",
    contract_kva=Decimal("1250.50"), running_kva=Decimal(800), sources=2, feeder="F12", transformer_area="T7",
    substation="East", industry="Health", category="hospital", importance="first", terrain="urban", coal_mine=True,
    standing="active", tier="A", large=True, important=True, area_id=7,
)  # fmt: skip
PLAIN: Final = SimpleNamespace(
    **{**vars(ACCOUNT), "tier": "D", "standing": "closed", "large": False, "important": False, "coal_mine": False,
       "old_no": None, "contract_kva": None, "sources": 1, "category": "", "importance": ""}
)  # fmt: skip
CUSTOMER: Final = SimpleNamespace(id=4, name="Health Group", sector="Public", credit="AAA")
LINE: Final = SimpleNamespace(
    tier="B", before="C", rank=39, amount=Decimal("812.50"), kwh=Decimal(999), months=6, large=True, important=True,
    why={"short": "87.50", "near": True, "of": 800, "cut": 40, "tied": 2, "with": [], "raised": True},
)  # fmt: skip
CHANGE: Final = SimpleNamespace(before="C", tier="B", reason="second plant", by="Li Na", at=AT)
COUNTS: Final[Facts] = {
    "tiers": {"A": 11, "B": 41, "C": 156, "D": 829}, "by_rule": {"A": 11, "B": 41, "C": 156, "D": 829},
    "cuts": {"A": 11, "B": 52, "C": 208}, "large": 300, "important": 20, "near": 31, "without_purchase": 4, "up": 41,
    "down": 12, "moves": [{"before": "C", "tier": "B", "accounts": 9}, {"before": "A", "tier": "B", "accounts": 1}],
    "ties": [{"tier": "B", "cut": 52, "rank": 50, "accounts": 4, "amount": "812.50", "with": ["3201000021"]}],
}  # fmt: skip
RUN: Final = SimpleNamespace(
    year=2027, stage="proposed", accounts=1037, counts=COUNTS, due_on=date(2027, 1, 31), proposed_at=AT,
    confirmed_at=None, confirmed_by=None,
)  # fmt: skip
REFUSED: Final = SimpleNamespace(
    id=9, by="Li Na", role="proxy", action="customers.reveal", subject="account:3201000021", reason="refused", at=AT
)
LOOKED: Final = SimpleNamespace(**{**vars(REFUSED), "id": 8, "reason": "asked by phone", "by": "token:billing"})

ROW: Final[Facts] = {
    "account": ACCOUNT, "name": "City Hospital", "year": SimpleNamespace(amount=Decimal("812.50")), "area": AREA,
    "manager": STAFF,
}  # fmt: skip
LIST: Final[Facts] = {
    "rows": [], "count": 0, "q": "", "tier": "", "flag": "", "area": "", "after": 0, "next": "", "areas": [],
    "flags": ("large", "important", "coal_mine"), "tiers": ("A", "B"),
}  # fmt: skip
ONE: Final[Facts] = {
    "account": ACCOUNT, "customer": CUSTOMER, "name": "City Hospital", "revealed": False, "area": AREA,
    "people": [{"name": "Wu", "phone": "138****1234", "role": "Head", "how": "archive", "consent_at": AT}],
    "manager": STAFF, "proxy": STAFF, "line": LINE, "explained": "One.\nTwo.",
    "years": [SimpleNamespace(year=y, amount=Decimal(a), kwh=Decimal(9), months=12) for y, a in ((2025, 5), (2026, 7))],
    "history": [{"change": CHANGE, "year": None}, {"change": CHANGE, "year": 2026}],
    "record": [SimpleNamespace(at=AT, by="contact", text="Hello"), SimpleNamespace(at=AT, by="bot", text="")],
    "designation": SimpleNamespace(by="Li Na", at=AT, reason="press"), "tiers": ("A", "B", "C", "D"), "typed": {},
    "opened": "",
}  # fmt: skip
PAGES: Final[dict[str, list[Facts]]] = {
    "staff/signin": [
        frame(me=None, may=None, name="", next="/desk", kept="", service=True),
        frame(me=None, may=None, name="Li Na", next="/desk", kept="x", service=True, errors={"code": "Wrong."}),
    ],
    "staff/home": [
        without(today=date(2027, 2, 2), run=None, moves=[], near=[], mine=[], refused=[]),
        frame(
            today=date(2027, 2, 2), run=RUN, moves=[(CHANGE, ACCOUNT)], near=[(LINE, ACCOUNT)], mine=[AREA],
            refused=[REFUSED], me=STAFF,
        ),
        frame(today=date(2027, 1, 30), run=RUN, moves=[], near=[], mine=[], refused=[], me=STAFF),
    ],
    "staff/customers": [
        without(**LIST),
        frame(**LIST),
        frame(**{**LIST, "q": "x"}),
        frame(
            **{**LIST, "rows": [ROW, {**ROW, "account": PLAIN, "area": None, "manager": None, "year": None}], "count": 2,
               "tier": "A", "flag": "large", "area": "7", "after": 3, "next": "9", "areas": [(AREA, 12)]}
        ),
    ],
    "staff/account": [
        without(
            **{**ONE, "account": PLAIN, "customer": None, "area": None, "people": [], "manager": None, "proxy": None,
               "line": None, "explained": "", "years": [], "history": [], "record": [], "designation": None}
        ),
        frame(**ONE, said="tier_changed"),
        frame(**{**ONE, "designation": None, "years": ONE["years"][::-1]}, said="designated"),
        frame(
            **{**ONE, "opened": "tier", "typed": {"tier": "B", "reason": ""}, "years": ONE["years"][:1]},
            errors={"reason-tier": "Wrong."}, said="designation_ended",
        ),
        frame(**{**ONE, "revealed": True, "years": [ONE["years"][0]] * 2}),
    ],
}  # fmt: skip
