"""Sample facts for the pages of the staff area, once empty and once full."""

from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

from api.console_policy import to_form
from desk import policy
from desk.archive_columns import words
from desk.policy import Policy

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
STAFF: Final = SimpleNamespace(
    id=2, name="Wang Wei", role="manager", level="area", language="zh_CN", disabled_at=None, created_at=AT, phone="", password="x",
    totp_step=None, session_id=1,
)  # fmt: skip
GONE: Final = SimpleNamespace(**{**vars(STAFF), "disabled_at": AT, "password": None, "phone": "021-5550"})
CODED: Final = SimpleNamespace(**{**vars(STAFF), "totp_step": 5, "level": "company"})
ACCOUNT: Final = SimpleNamespace(
    id=3, no="3201000021", old_no="021", customer_id=4, name="City Hospital", address="1 Main St", voltage="10 kV",
    contract_kva=Decimal("1250.50"), running_kva=Decimal(800), sources=2, feeder="F12", transformer_area="T7",
    substation="East", industry="Health", category="hospital", importance="first", terrain="urban", coal_mine=True,
    standing="active", tier="A", large=True, important=True, area_id=7, proxy_id=3,
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
CONFIRMED: Final = SimpleNamespace(**{**vars(RUN), "stage": "confirmed", "confirmed_at": AT, "confirmed_by": "system"})
REFUSED: Final = SimpleNamespace(
    id=9, by="Li Na", role="proxy", action="customers.reveal", subject="account:3201000021", reason="refused", at=AT
)
CANNED: Final = SimpleNamespace(id=6, shortcut="bye", language="en", text="Goodbye, {name}.", by="Li Na", updated_at=AT)
LOOKED: Final = SimpleNamespace(**{**vars(REFUSED), "id": 8, "reason": "asked by phone", "by": "token:billing"})

ITEM: Final = SimpleNamespace(
    id=5, question="When does the bus leave?", why="abstained", remark="asked twice", at=AT, offered=[["g02", 0.41]],
)  # fmt: skip
CLUSTER: Final = SimpleNamespace(
    key=5, asked_at=AT, offered=[("g02", 2)],
    items=[ITEM, *(SimpleNamespace(**{**vars(ITEM), "why": why, "remark": "", "offered": []}) for why in ("third", "marked", "wrong"))],
)  # fmt: skip
CASE: Final[Facts] = {
    "question": "Where?",
    "before": {"decision": "choices", "entries": ["g02", "g05"]},
    "after": {"decision": "answer", "entries": ["g02"]},
}
SILENT: Final[Facts] = {"question": "Bus?", "before": {"decision": "abstain", "entries": []}, "after": CASE["after"]}
CHANGED: Final = SimpleNamespace(
    id=3, kind="alias", stage="tried", entry="g02", questions=["When?", "Bus?"], content=None, done=3, total=3, by="Li Na",
    report=SimpleNamespace(questions=250, top1=[91.0, 90.5], handled=[92.0, 91.5], own=[SILENT], worse=[CASE], better=[CASE], other=[CASE]),
    reason="", at=AT, settled_by=None, settled_at=None,
)  # fmt: skip
DRAFTED: Final = SimpleNamespace(
    **{**vars(CHANGED), "kind": "entry", "entry": "", "report": None,
       "content": {"title": "Bus", "answer": "At seven.", "document": "House rules", "article": "1"}}
)  # fmt: skip
REFUSED_CHANGE: Final = SimpleNamespace(
    **{**vars(DRAFTED), "stage": "refused", "reason": "No source", "settled_by": "Wang", "settled_at": AT, "questions": []}
)  # fmt: skip
OUT: Final = SimpleNamespace(
    **{**vars(CHANGED), "kind": "out_of_scope", "entry": "", "stage": "published", "settled_by": "Wang", "settled_at": AT}
)  # fmt: skip
LEARN: Final[Facts] = {"clusters": [], "more": 0, "questions": 0, "waiting": [], "done": [], "titles": {}}

ROW: Final[Facts] = {
    "account": ACCOUNT, "name": "City Hospital", "year": SimpleNamespace(amount=Decimal("812.50")), "area": AREA,
    "manager": STAFF,
}  # fmt: skip
LIST: Final[Facts] = {
    "rows": [], "count": 0, "q": "", "tier": "", "flag": "", "area": "", "after": 0, "next": "", "areas": [],
    "flags": ("large", "important", "coal_mine"), "tiers": ("A", "B"), "sort": "",
}  # fmt: skip
ONE: Final[Facts] = {
    "account": ACCOUNT, "customer": CUSTOMER, "name": "City Hospital", "revealed": False, "area": AREA,
    "street": "Main St****", "people": [{"name": "Wu", "phone": "138****1234", "role": "Head", "how": "archive", "consent_at": AT}],
    "manager": STAFF, "proxy": STAFF, "line": LINE, "run": RUN, "explained": "One.\nTwo.",
    "years": [SimpleNamespace(year=y, amount=Decimal(a), kwh=Decimal(9), months=12) for y, a in ((2025, 5), (2026, 7))],
    "history": [{"change": CHANGE, "year": None}, {"change": CHANGE, "year": 2026}],
    "record": [SimpleNamespace(at=AT, by="contact", text="Hello"), SimpleNamespace(at=AT, by="bot", text="")],
    "designation": SimpleNamespace(by="Li Na", at=AT, reason="press"), "tiers": ("A", "B", "C", "D"), "typed": {},
    "opened": "", "made": None, "proxies": [STAFF],
}  # fmt: skip
ROLES: Final = (
    "agent", "hall", "area_office", "manager", "proxy", "publisher", "supervisor", "admin", "auditor", "other",
)  # fmt: skip
SESSIONS: Final = [
    SimpleNamespace(id=n, device="Firefox", address="192.0.2.1", created_at=AT, seen_at=AT) for n in (1, 2)
]
IMPORT: Final = SimpleNamespace(
    id="0a", name="city.csv", dry_run=True, stage="done", by="Li Na", created_at=AT, finished_at=AT, total=40, done=40,
    new=30, changed=5, unchanged=3, bad=2, unknown=["Shoe size"], notes={"masked": 3}, refusal=None,
    problems=[SimpleNamespace(line=7, column="Phone", code="phone", reason="not a phone number", value="12")],
)  # fmt: skip
KNOWN: Final = [(field, field) for field in words()["headers"]]


def imported(**changes: Any) -> Any:
    """An import that differs."""
    return SimpleNamespace(**{**vars(IMPORT), **changes})


def ran(stage: str, dry_run: bool) -> Any:
    """A line of the history of imports."""
    report = {"new": 3, "bad": 1} if stage == "done" else {}
    return imported(stage=stage, dry_run=dry_run, report=report)


YEAR: Final[Facts] = {
    "run": RUN, "years": [2027, 2026], "lines": [], "tier": "", "show": "", "tiers": ("A", "B"), "after": "",
    "next": "", "bought": {"A": 38.0, "B": 30.0, "C": 20.0, "D": Decimal(12)}, "typed": "", "ties": [], "late": -9,
}  # fmt: skip

VALUES: Final = to_form(Policy())
CHANGES: Final = policy.diff(
    Policy(),
    policy.propose(
        Policy(),
        {
            "service": {"hours": [{"days": [1, 7], "opens": "08:00", "closes": "24:00"}], "holidays": False},
            "night": {"begins": "22:00"},
            "queue": {"targets_s": {"important": 61, "D": 601}, "longest_wait_s": {"A": 901}, "capacity": 5},
            "promises": {"remind_before_min": []},
            "alarms": {"on_call": [{"name": "Li Na", "phone": "13800138000"}]},
            "storm": {"automatic": True},
            "retention": {"bad_rows": 91},
        },
    ),
)
VERSION: Final = SimpleNamespace(
    version=2, at=AT, effective_at=AT.replace(year=2028), by="Li Na", note="x", changes=CHANGES
)
DAY: Final = SimpleNamespace(day=date(2027, 10, 8), working=False, note="bridge", by="Li Na", at=AT)
POLICY: Final[Facts] = {
    "number": 0, "values": VALUES, "rows": {"service.hours": 3, "alarms.on_call": 2}, "ranks": policy.RANKS,
    "defaults": VALUES, "history": [], "waiting": [], "year": 2027, "days": [], "guessed": False, "typed": {},
    "elsewhere": "",
}  # fmt: skip
AREAS: Final[Facts] = {
    "area": None, "rows": [], "alone": 0, "served": [("T7", 9, 2)], "proxies": [STAFF], "typed": {}, "giving": None,
}  # fmt: skip
PAGES: Final[dict[str, list[Facts]]] = {
    "staff/signin": [
        frame(me=None, may=None, name="", next="/desk", kept="", service=True),
        frame(me=None, may=None, name="Li Na", next="/desk", kept="x", service=True, errors={"code": "Wrong."}),
    ],
    "staff/home": [
        without(today=date(2027, 2, 2), run=None, moves=[], near=[], mine=[], territories=[], changed={}, lacking={}, refused=[], imports=[]),
        frame(
            today=date(2027, 2, 2), run=RUN, moves=[(CHANGE, ACCOUNT)], near=[(LINE, ACCOUNT)], mine=[AREA], territories=[], changed={}, lacking={},
            refused=[REFUSED], imports=[], me=STAFF,
        ),
        frame(today=date(2027, 1, 30), run=RUN, moves=[], near=[], mine=[], territories=[], changed={}, lacking={}, refused=[], me=STAFF,
            imports=[ran("running", True), ran("waiting", False)]),
        frame(today=date(2027, 1, 30), run=None, moves=[], near=[], mine=[AREA], refused=[], imports=[], me=STAFF, changed={7: 2}, lacking={7: 3},
            territories=[SimpleNamespace(area=AREA, manager=m, accounts=12, best=1, important=2) for m in (None, STAFF)]),
    ],
    "staff/console": [frame(), without()],
    "staff/floor": [frame()],
    "staff/canned": [
        frame(rows=[], reply=None, typed={}, errors={"shortcut": "taken", "language": "Wrong.", "text": "Wrong."}),
        frame(rows=[CANNED], reply=None, typed={}, said="added"),
        frame(rows=[CANNED], reply=None, typed={}, said="changed", errors={"shortcut": "Wrong."}),
        frame(rows=[], reply=CANNED, typed=vars(CANNED), said="gone"),
    ],
    "staff/areas": [
        without(**AREAS),
        frame(**{**AREAS, "alone": 4, "rows": [
            SimpleNamespace(area=AREA, manager=manager, accounts=12, best=1, important=2) for manager in (None, STAFF, GONE)
        ]}, said="given"),
        frame(**{**AREAS, "typed": {"transformer_area": "T7", "proxy": "Sun"},
                 "giving": {"accounts": 1, "moving": {None: 1, "Li": 12}}}, said="taken"),
        frame(**{**AREAS, "typed": {"transformer_area": "T7"}, "giving": {"accounts": 9, "moving": {"Li": 1}}},
              errors={"number": "number"}),
        frame(**{**AREAS, "typed": {"transformer_area": "T7", "proxy": "Sun"}, "giving": {"accounts": 9, "moving": {}}}),
        frame(**{**AREAS, "typed": {"transformer_area": "T7"}, "giving": {"accounts": 9, "moving": {}}}, errors={"proxy": "Wrong."}),
        frame(area=AREA, manager="", history=[], following=SimpleNamespace(accounts=0, important=[]), managers=[], typed={}),
        frame(area=AREA, manager="Wang Wei", following=SimpleNamespace(accounts=12, important=[ACCOUNT]), typed={},
            managers=[(STAFF, 1)], errors={"number": "number", "manager": "Wrong."}, said="handed_over",
            history=[{"change": SimpleNamespace(at=AT, notes="calls", by="Li Na"), "before": "", "manager": "Wang Wei"}]),
    ],
    "staff/customers": [
        without(**LIST),
        frame(**LIST),
        frame(**{**LIST, "q": "x"}),
        frame(
            **{**LIST, "rows": [ROW, {**ROW, "account": PLAIN, "area": None, "manager": None, "year": None}], "count": 2,
               "tier": "A", "flag": "large", "area": "7", "after": 3, "next": "9", "areas": [(AREA, 12)], "sort": "-name"}
        ),
    ],
    "staff/account": [
        without(
            **{**ONE, "account": PLAIN, "customer": None, "area": None, "people": [], "manager": None, "proxy": None,
               "line": None, "run": None, "explained": "", "years": [], "history": [], "record": [], "designation": None}
        ),
        frame(**ONE, said="tier_changed"),
        frame(**{**ONE, "proxies": []}, said="proxy_given"),
        frame(**{**ONE, "proxy": None, "proxies": []}, said="proxy_taken"),
        frame(
            **{**ONE, "proxy": None, "account": PLAIN, "opened": "proxy", "typed": {"proxy": "Wang Wei"}},
            errors={"proxy": "Wrong."}, said="coal_mine_set",
        ),
        frame(**{**ONE, "opened": "coal_mine", "typed": {"reason": "x"}}, errors={"reason-coal_mine": "Wrong."}, said="coal_mine_ended"),
        frame(**{**ONE, "designation": None, "years": ONE["years"][::-1]}, said="designated"),
        frame(
            **{**ONE, "opened": "tier", "typed": {"tier": "B", "reason": ""}, "years": ONE["years"][:1]},
            errors={"reason-tier": "Wrong."}, said="designation_ended",
        ),
        frame(**{**ONE, "run": CONFIRMED, "made": SimpleNamespace(qr_svg="<svg></svg>", expires_at=AT, url_web="/x", url_telegram="/y")}),
        frame(**{**ONE, "run": CONFIRMED, "account": PLAIN, "line": SimpleNamespace(tier="D")}),
        frame(**{**ONE, "revealed": True, "years": [ONE["years"][0]] * 2}),
    ],
    "staff/imports": [
        frame(runs=[], largest=20 * 1024 * 1024),
        frame(
            runs=[ran(stage, dry) for stage in ("waiting", "running", "done", "refused", "failed") for dry in (0, 1)],
            largest=20 * 1024 * 1024, errors={"file": "Wrong."},
        ),
    ],
    "staff/import": [
        frame(run=IMPORT, known=KNOWN, under_way=False),
        frame(run=imported(dry_run=False, notes={}, unknown=[]), known=KNOWN, under_way=False),
        frame(run=imported(new=0, changed=0, bad=0, problems=[]), known=[], under_way=False, errors={"take": "Gone."}),
        frame(run=imported(stage="running"), known=[], under_way=True),
        frame(run=imported(stage="running", dry_run=False, total=None, done=0), known=[], under_way=True),
        frame(run=imported(stage="failed", dry_run=False), known=[], under_way=True),
        frame(run=imported(refusal=SimpleNamespace(title="Title", detail="Detail")), known=[], under_way=False),
    ],
    "staff/tiers_begin": [without(years=[], year="2027"), frame(years=[2026], year="x", errors={"year": "Wrong."})],
    "staff/tiers": [
        without(**{**YEAR, "years": [2027]}),
        frame(**{**YEAR, "lines": [(LINE, ACCOUNT)], "ties": ["A tie."], "late": 3}, said="proposed"),
        frame(**{**YEAR, "tier": "A", "show": "moved", "run": CONFIRMED, "next": "3-4"}, said="confirmed"),
        frame(**YEAR, errors={"number": "number"}),
    ],
    "staff/policy": [
        frame(**POLICY),
        frame(
            **{**POLICY, "number": 2, "history": [VERSION], "waiting": [VERSION], "days": [DAY], "guessed": True,
               "elsewhere": "Changed."},
            said="published",
        ),
        frame(
            **{**POLICY, "typed": {"day": "x", "working": "yes"}}, said="day",
            errors={"queue.capacity": "Wrong.", "queue.targets_s.A": "Wrong.", "service.hours.0.closes": "Wrong.",
                    "service.hours": "Wrong.", "day": "Wrong.", "why": "Missing."},
        ),
    ],
    "staff/policy_review": [
        frame(changes=CHANGES, kept={"queue.capacity": "6"}, note="", effective_at=""),
        frame(changes=[], kept={}, note="x", effective_at="", errors={"note": "Missing.", "effective_at": "Wrong."}),
    ],
    "staff/learning": [
        without(**LEARN, view="open"),
        without(**LEARN, view="waiting"),
        without(**LEARN, view="done"),
        frame(**{**LEARN, "view": "open", "clusters": [CLUSTER], "more": 2, "questions": 9, "titles": {"g02": "Where"}}),
        frame(**{**LEARN, "view": "waiting", "waiting": [CHANGED, SimpleNamespace(**{**vars(DRAFTED), "stage": "trying"})]}),
        frame(**{**LEARN, "view": "done", "done": [OUT, REFUSED_CHANGE]}),
    ],
    "staff/learning_cluster": [
        frame(cluster=CLUSTER, size=4, number=5, offered=["g02"], titles={"g02": "Where"}, typed={}),
        frame(
            cluster=CLUSTER, size=4, number=5, offered=[], titles={"g02": "Where"}, typed={"kind": "entry", "entry": "g02"},
            errors={"answer": "Missing."},
        ),
    ],
    "staff/learning_change": [
        frame(change=CHANGED, titles={"g02": "Where"}, under_way=False, allowed=True, mine=True),
        without(change=CHANGED, titles={}, under_way=False, allowed=False, mine=False),
        without(change=DRAFTED, titles={}, under_way=False, allowed=False, mine=True, errors={"reason": "Missing."}),
        frame(
            change=SimpleNamespace(**{**vars(CHANGED), "stage": "trying", "report": None}), titles={}, under_way=True,
            allowed=False, mine=True,
        ),
        frame(change=OUT, titles={}, under_way=False, allowed=False, mine=True, said="published"),
        frame(change=REFUSED_CHANGE, titles={}, under_way=False, allowed=False, mine=True, said="refused"),
    ],
    "staff/staff": [
        frame(rows=[(STAFF, None)], roles=ROLES, typed={}, after=0, next="", service=False),
        frame(
            rows=[(STAFF, AT), (GONE, None), (CODED, None)], roles=ROLES, typed={"name": "Li Na"}, after=3, next="9",
            service=True, errors={"name": "Taken.", "role": "Missing.", "password": "Weak."},
        ),
    ],
    "staff/member": [
        frame(member=STAFF, locked=AT, made="", sessions=SESSIONS, said="added", errors={"disable": "Last one."}),
        frame(member=GONE, locked=None, made="", sessions=[], said="disable"),
        frame(member=CODED, locked=None, made="abcde-fghij", sessions=SESSIONS),
    ],
    "staff/tokens": [
        without(tokens=[], made="", roles=ROLES, days=("30", ""), typed={}, now=AT),
        frame(
            tokens=[
                SimpleNamespace(id=1, name="billing", role="hall", by="Li Na", created_at=AT, expires_at=e, used_at=u)
                for e, u in ((None, None), (AT, AT), (datetime(2030, 1, 1, tzinfo=UTC), AT))
            ],
            made="gl_secret", roles=ROLES, days=("30", ""), typed={"days": "30"}, now=AT, said="revoked",
            errors={"name": "Wrong.", "role": "Missing."},
        ),
    ],
    "staff/me": [
        frame(member=STAFF, sessions=SESSIONS, secret="", picture="", said="password"),
        frame(member=STAFF, sessions=SESSIONS, secret="ABC", picture="<svg></svg>", said="totp_off"),
        frame(member=CODED, sessions=SESSIONS, secret="", picture="", said="totp_on", errors={"code": "Wrong."}),
        frame(member=GONE, sessions=[], secret="", picture="", said="ended"),
    ],
    "staff/access": [
        frame(lines=[], by="", subject="", after="", next="", refused="refused"),
        frame(lines=[], by="x", subject="", after="", next="", refused="refused"),
        frame(
            lines=[
                REFUSED, LOOKED, SimpleNamespace(**{**vars(LOOKED), "action": "customers.export", "subject": "archive"}),
                SimpleNamespace(**{**vars(LOOKED), "action": "erase", "subject": "contact:7", "role": "", "reason": "*"}),
                SimpleNamespace(**{**vars(LOOKED), "action": "binding.name", "role": "customer", "reason": "wrong"}),
                SimpleNamespace(**{**vars(LOOKED), "action": "binding.code", "role": "customer", "reason": "throttled"}),
                SimpleNamespace(**{**vars(LOOKED), "action": "other"}),
            ],
            by="Li Na", subject="", after="9", next="3", refused="refused",
        ),
    ],
}  # fmt: skip
