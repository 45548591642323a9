"""The dialogue about who is writing: which way to prove it, one question at a time. Pure, as all dialogue steps.

A step may end in a wish, which the assistant carries out in the same transaction; `after` says what follows from its
result. Nothing about an account is said before it is bound, and a number nobody has is answered as any other.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from desk.binding import Proof, normal_no
from knowledge.intents import Intent, Reading
from templates import Choice, Reply

LONGEST: Final = 100  # characters of a registered name; also of a message that is a request about accounts
OTHERWISE: Final = 0.8  # chance of an intent from which on words where a name was asked for are no name
_ELSE: Final = frozenset({Intent.FAULT_REPORT, Intent.OUTAGE_STATUS, Intent.COMPLAINT, Intent.HUMAN_AGENT})

_BIND: Final = re.compile(
    r"(?:我要|我想|想要?|请|帮我|怎么|如何)*(?:绑定|关联|添加)(?:一下|一个|我的|新的?|别的)*(?:用电户|用户号|户号|账户|账号)?"
    r"|(?:please |how (?:do i |to ))?(?:bind|link|connect|add)(?: my| an| another)? accounts?(?: number)?",
    re.I,
)
_MINE: Final = re.compile(
    r"(?:查|看|查看|查询|显示)?(?:一下)?(?:我|我们|我绑定)的?(?:用电户|户号|账户|账号)(?:是多少|有哪些|是什么|是哪个|呢)?"
    r"|(?:show )?(?:my|our) accounts?(?: numbers?)?|(?:what is|what's) my account number",
    re.I,
)
_SWITCH: Final = re.compile(
    r"(?:切换|更换|换)(?:到|一个|个|别的|其他的?|另一个)*(?:用电户|户号|账户|账号)|(?:switch|change)(?: my)? accounts?",
    re.I,
)
_UNBIND: Final = re.compile(
    r"(?:我要|我想|请|帮我)*(?:解绑|解除绑定|取消绑定|解除关联)(?:一下|我的|这个|当前)*(?:用电户|户号|账户|账号)?"
    r"|un(?:bind|link)(?: my| this| the)?(?: account)?",
    re.I,
)
_MANAGER: Final = re.compile(
    r"^(?=.*(?:谁|哪位|哪个|叫什么|名字|电话|联系|怎么找)).*(?:我|咱|本户|本公司|本单位)\S{0,4}客户经理"
    r"|(?:who(?:'s| is)|contact|phone).{0,12}\b(?:my|our) (?:customer |account |area )?manager"
    r"|\b(?:my|our) (?:customer|account|area) manager",
    re.I,
)
_PRIVATE: Final = re.compile(  # asked about a number that stands in the message
    r"用电量|用了?多少|多少度|电费|欠费|余额|账单|户名|户主|叫什么|什么名|哪家|谁家|是谁|在哪|哪里|存在|有没有这"
    r"|(?:地址|电话|手机|联系人|容量)(?:是|在)?(?:哪|什么|多少|几|谁|呢)|(?:地址|电话|联系人|容量)\W*$"
    r"|usage|consumption|how much|bill|balance|owner|whose|what|where|who|which|exist",
    re.I,
)
_OWN: Final = re.compile(  # asked about an account without its number
    r"(?:我|我们|我家|这户|该户|这家|他家|他们|那家)\S{0,6}"
    r"(?:用电量|用了?多少(?:度)?电|欠费|余额|账单|户名|用电地址|停电地址|登记的?(?:地址|电话))"
    r"|(?:这户|该户|这个户号|那户|那家)\S{0,6}(?:叫什么|地址|是谁|电话)"
    r"|\b(?:my|our|their|its) (?:usage|consumption|bill|balance)\b",
    re.I,
)
_GENERAL: Final = re.compile(r"怎么|如何|标准|规定|为什么|办理|\bhow (?:do|to|is)\b|\bwhy\b", re.I)
_BARE: Final = re.compile(r"\W*(?:我的|我们的)?(?:户号|账号|account(?: number)?|no)?\W*(?:是|为|is)?[\d\s\-]+\W*", re.I)
_MOBILE: Final = re.compile(r"1[3-9]\d{9}")
_BACK: Final = re.compile(r"(?:返回|后退|上一步|重填|back)\W*", re.I)
_BY_CODE: Final = re.compile(r"验证码|短信|手机|code|sms|text|^\W*(?:1|一|第一)\W*$", re.I)
_BY_NAME: Final = re.compile(r"户名|名称|名字|姓名|末四位|后四位|name|digit|^\W*(?:2|二|第二)\W*$", re.I)
_ASKING: Final = re.compile(r"[?]|什么|多少|哪|谁|which|what|who", re.I)
_RESEND: Final = re.compile(r"没收到|收不到|重发|重新发|再发|没有收到|resend|again|not (?:get|receive|arrive)", re.I)

_MENU: Final = Choice("menu", "menu", {})
_CANCEL: Final = Choice("cancel", "cancel", {})
_PERSON: Final = Choice("person", "person", {})
_BIND_ONE: Final = Choice("bind", "bind", {})
_AGAIN: Final = Choice("bind:again", "resend", {})
_STEP_BACK: Final = Choice("bind:back", "step_back", {})
_WAYS: Final = (Choice("bind:code", "by_code", {}), Choice("bind:name", "by_name", {}))


@dataclass(frozen=True)
class Mine:
    """An account that the contact speaks for: its name is masked where it is a person's."""

    id: int
    no: str
    name: str
    current: bool = False


@dataclass(frozen=True)
class SendCode:
    """Wish: a code to the phone registered for this number."""

    no: str


@dataclass(frozen=True)
class ConfirmCode:
    """Wish: these digits are the code."""

    no: str
    code: str


@dataclass(frozen=True)
class ProveName:
    """Wish: number, registered name and last digits belong together."""

    no: str
    name: str
    digits: str


@dataclass(frozen=True)
class Redeem:
    """Wish: this one-time link binds the chat."""

    token: str


@dataclass(frozen=True)
class Choose:
    """Wish: talk about this account."""

    account: int


@dataclass(frozen=True)
class Unbind:
    """Wish: no longer speak for this account."""

    account: int


@dataclass(frozen=True)
class AskManager:
    """Wish: who is the manager of this account."""

    account: int


Wish = SendCode | ConfirmCode | ProveName | Redeem | Choose | Unbind | AskManager


@dataclass(frozen=True)
class Turn:
    """What a step says, where the flow stands then, and what is wished for."""

    replies: tuple[Reply, ...] = ()
    flow: Mapping[str, Any] = field(default_factory=dict)
    wish: Wish | None = None


@dataclass(frozen=True)
class Told:
    """What became of a wish: the account it is about once it is bound, and for AskManager who that is."""

    proof: Proof | None = None
    account: Mine | None = None
    manager: str | None = None
    phone: str = ""


Accounts = tuple[Mine, ...]


# -- outside the flow -------------------------------------------------------------------------------------------------


def asked(text: str, mine: Accounts) -> Turn | None:
    """A request about accounts, in whatever words; None = the message is about something else."""
    said = unicodedata.normalize("NFKC", text).strip()
    if len(said) > LONGEST:
        return None
    words = said.strip(" \t\n。．.!?！？~～，,")
    current = _current(mine)
    if _UNBIND.fullmatch(words):
        return _unbind_asked(current) if current else overview(mine)
    if _MINE.fullmatch(words) or _SWITCH.fullmatch(words):
        return overview(mine)
    if _BIND.fullmatch(words):
        return begin()
    if current and asks_manager(said):
        return Turn(wish=AskManager(current.id))
    return _claimed(said, mine)


def asks_manager(text: str) -> bool:
    """Whether somebody wants to know who their manager is."""
    return len(text) <= LONGEST and bool(_MANAGER.search(text))


def _claimed(said: str, mine: Accounts) -> Turn | None:
    """Questions for the data of an account: answered only about an account of one's own."""
    no = normal_no(said)
    if no and not (_BARE.fullmatch(said) or _PRIVATE.search(said)):
        return None
    if no and _MOBILE.fullmatch(no) and _BARE.fullmatch(said):
        return None
    if no is None and (not _OWN.search(said) or _GENERAL.search(said)):
        return None
    own = next((each for each in mine if each.no == no), None) if no else _current(mine)
    if own is None:
        return begin(no, about=True)
    return Turn(
        (Reply("account_data", {"no": own.no, "name": own.name}, (_PERSON, Choice("mine", "mine", {}), _MENU)),)
    )


def overview(mine: Accounts) -> Turn:
    """The accounts of a contact, or the way to the first one."""
    current = _current(mine)
    if current is None:
        return begin()
    others = [each for each in mine if each is not current]
    switch = tuple(Choice(f"account:{each.id}", _line(each)) for each in others)
    facts = {"others": [_line(each) for each in others], "current": _line(current)}
    choices = (*switch, _BIND_ONE, Choice(f"unbind:{current.id}", "unbind", {}), _MENU)
    return Turn((Reply("my_accounts", facts, choices),))


def _line(account: Mine) -> str:
    return f"{account.no} {account.name}"[:40]


def _current(mine: Accounts) -> Mine | None:
    return next((each for each in mine if each.current), mine[-1] if mine else None)


# -- the flow ---------------------------------------------------------------------------------------------------------


def _flow(at: str, **more: Any) -> dict[str, Any]:
    return {"name": "identity", "at": at, **{name: value for name, value in more.items() if value}}


def begin(no: str | None = None, *, about: bool = False) -> Turn:
    """Ask which way; `about` = because data of an account were asked for."""
    return Turn((Reply("identity_way", {"about": about}, (*_WAYS, _CANCEL)),), _flow("way", no=no))


def names(flow: Mapping[str, Any]) -> bool:
    """Whether a name is asked for just now."""
    return flow.get("name") == "identity" and flow.get("at") == "name"


def said(flow: Mapping[str, Any], text: str, reading: Reading) -> Turn | None:
    """What was typed inside the flow; None = it is something else, and the flow waits."""
    words = unicodedata.normalize("NFKC", text).strip()
    if _BACK.fullmatch(words):
        return _before(flow)
    no, digits = normal_no(words), re.sub(r"[\s\-]", "", words)
    match flow.get("at"):
        case "way":
            if no and _BARE.fullmatch(words):
                return begin(no)
            for pattern, way in ((_BY_CODE, "code"), (_BY_NAME, "name")):
                if pattern.search(words) and len(words) <= 20 and not _ASKING.search(words):
                    return _next(way, flow.get("no"))
        case "number":
            if no:
                return _next(str(flow.get("way")), no)
            if len(words) <= 40 and re.search(r"\d{3}", digits):
                return _ask_number(flow, again=True)
        case "code":
            if re.fullmatch(r"\d{6}", digits):
                return Turn(flow=flow, wish=ConfirmCode(str(flow.get("no")), digits))
            if no and _BARE.fullmatch(words):
                return _next("code", no)
            if digits.isdigit():
                return _ask_code(flow, again=True)
            if _RESEND.search(words) and len(words) <= 40:
                return _next("code", flow.get("no"))
        case "name":
            other = reading.intent in _ELSE and reading.confidence >= OTHERWISE
            if words and len(words) <= LONGEST and not other:
                return _ask_digits({**flow, "at": "digits", "holder": words})
        case "digits":
            if re.fullmatch(r"\d{4}", digits):
                wish = ProveName(str(flow.get("no")), str(flow.get("holder")), digits)
                return Turn(flow=flow, wish=wish)
            if digits.isdigit():
                return _ask_digits(flow, again=True)
    return None


def tapped(flow: Mapping[str, Any], action: str, argument: str, mine: Accounts) -> Turn | None:
    """A button about accounts; None = it is stale, or means an account that is not theirs."""
    here = flow if flow.get("name") == "identity" else {}
    own = next((each for each in mine if str(each.id) == argument), None)
    match action, argument:
        case "mine", "":
            return overview(mine)
        case "bind", "":
            return begin()
        case "bind", "code" | "name":
            return _next(argument, here.get("no"))
        case "bind", "again":
            return _next("code", here.get("no"))
        case "bind", "back":
            return _before(here)
        case "account", _ if own:
            return Turn(wish=Choose(own.id))
        case "unbind", _ if own:
            return _unbind_asked(own)
        case "unbound", _ if own:
            return Turn(wish=Unbind(own.id))
    return None


def _next(way: str, no: Any) -> Turn:
    """On from the way and, if it is there, the number."""
    if not no:
        return _ask_number(_flow("number", way=way))
    if way == "code":
        return Turn(flow=_flow("code", way=way, no=no), wish=SendCode(str(no)))
    return _ask_name(_flow("name", way=way, no=no))


def _before(flow: Mapping[str, Any]) -> Turn:
    """One question back."""
    match flow.get("at"):
        case "code" | "name":
            return _ask_number(_flow("number", way=flow.get("way")))
        case "digits":
            return _ask_name(_flow("name", way="name", no=flow.get("no")))
    return begin()


def _ask_number(flow: Mapping[str, Any], *, again: bool = False) -> Turn:
    return Turn((Reply("identity_number", {"again": again}, (_STEP_BACK, _CANCEL)),), flow)


def _ask_code(flow: Mapping[str, Any], *, again: bool = False) -> Turn:
    return Turn((Reply("identity_code", {"again": again}, (_AGAIN, _STEP_BACK, _CANCEL)),), flow)


def _ask_name(flow: Mapping[str, Any]) -> Turn:
    return Turn((Reply("identity_name", {}, (_STEP_BACK, _CANCEL)),), flow)


def _ask_digits(flow: Mapping[str, Any], *, again: bool = False) -> Turn:
    return Turn((Reply("identity_digits", {"again": again}, (_STEP_BACK, _CANCEL)),), flow)


def _unbind_asked(account: Mine) -> Turn:
    choices = (Choice(f"unbound:{account.id}", "unbind_yes", {}), _CANCEL)
    return Turn((Reply("identity_unbind", {"no": account.no, "name": account.name}, choices),))


# -- what follows from a wish -----------------------------------------------------------------------------------------


def after(wish: Wish, told: Told, flow: Mapping[str, Any]) -> Turn:
    """What is said once a wish has been carried out."""
    account = told.account
    facts = {"no": account.no, "name": account.name} if account else {}
    more = (Choice("mine", "mine", {}), _MENU)
    if told.proof is Proof.THROTTLED:
        return Turn((Reply("identity_throttled", {}, (_PERSON, _MENU)),))
    if told.proof is Proof.BOUND:
        return Turn((Reply("identity_bound", facts, more),))
    match wish:
        case SendCode():
            return _ask_code(flow)
        case ConfirmCode():
            return Turn((Reply("identity_wrong_code", {}, (_AGAIN, _STEP_BACK, _CANCEL)),), flow)
        case ProveName():
            return Turn((Reply("identity_wrong", {}, (*_WAYS, _PERSON, _CANCEL)),), _flow("way"))
        case Redeem():
            return Turn((Reply("identity_link_wrong", {}, (_BIND_ONE, _PERSON, _MENU)),))
        case Choose():
            return Turn((Reply("identity_chosen", facts, more),))
        case Unbind():
            return Turn((Reply("identity_unbound", facts, more),))
        case AskManager():
            if told.manager is None:
                return Turn((Reply("no_manager", facts, (_PERSON, _MENU)),))
            known = {"no": facts["no"], "manager": told.manager, "phone": told.phone}
            return Turn((Reply("my_manager", known, (_PERSON, _MENU)),))
