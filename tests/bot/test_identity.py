"""Who is writing: bound in chat by link, code or name, and nothing said about an account before that."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest
from sqlmodel import col, select

from bot import identity
from bot.assistant import Assistant
from bot.codes import Codes
from bot.identity import AskManager, ConfirmCode, Mine, ProveName, SendCode, Turn
from bot.inbound import Inbound
from desk import access, areas, binding, customers, events, staff
from desk.binding import BindCode, BindTry
from desk.conversations import Channel, Contact, Conversation, RecordLine
from desk.customers import AccountContact, How
from desk.permissions import Role
from desk.sms import SmsFailed, Trouble
from desk.store import Store
from knowledge.intents import Intent, Reading
from tests.bot.talk import Customer
from tests.conftest import MONDAY, Process, SetClock, until
from tests.desk.purchases import Buyer, no, stock

PHONE: Final = "13800001234"
MILL: Final = "宏达化工厂"
STREET: Final = "建设路12号"
WAYS: Final = ["短信验证码", "户名和电话末四位", "取消"]
ANYTHING: Final = Reading(Intent.ASK_GUIDE, 0.9, False)


@dataclass
class Outbox:
    """An SMS gateway that keeps what it was given."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    trouble: Trouble | None = None

    async def send(self, phone: str, text: str) -> None:
        if self.trouble:
            raise SmsFailed(self.trouble, "503")
        self.sent.append((phone, text))


@dataclass
class Desk:
    """The archive and the job that sends codes."""

    store: Store
    clock: SetClock
    outbox: Outbox

    async def work(self) -> str | None:
        """Do the job of the latest code; the digits, if a message went out."""
        async with self.store.transaction() as db:
            latest = (await db.exec(select(BindCode.id).order_by(col(BindCode.id).desc()).limit(1))).one()
            lines = select(RecordLine.text).where(col(RecordLine.direction) == "in")
            said = (await db.exec(lines.order_by(col(RecordLine.id).desc()))).all()
        number = next(found for text in said if (found := binding.normal_no(text)))
        before = len(self.outbox.sent)
        assert latest is not None
        await Codes(self.store, self.clock, self.outbox, "zh_CN").send(latest, number)
        if len(self.outbox.sent) == before:
            return None
        [digits] = re.findall(r"(?<!\d)\d{6}(?!\d)", self.outbox.sent[-1][1])
        return str(digits)

    async def link(self, number: int) -> str:
        """A one-time link for an account, as the customer's Telegram sends it."""
        async with self.store.transaction() as db:
            account = await customers.account(db, no(number))
            _, token = await binding.make_link(db, account, by="Li", at=self.clock.now())
        return f"/start bind-{token}"

    async def kinds(self, beginning: str) -> list[str]:
        """The events of one kind."""
        async with self.store.transaction() as db:
            return [event.kind for event in await events.read(db, limit=500) if event.kind.startswith(beginning)]


@pytest.fixture
async def desk(store: Store, clock: SetClock) -> Desk:
    """Three accounts; the first is a mill with a registered phone and an area, the second a person's."""
    await stock(store, [Buyer(1)] * 3)
    async with store.transaction() as db:
        for number, name in ((1, MILL), (2, "王小明"), (3, "港口")):
            account = await customers.account(db, no(number))
            account.name, account.address = name, STREET
            person = Contact(name="李芳", phone=f"1380000123{3 + number}", created_at=MONDAY)
            db.add_all([account, person])
            await db.flush()
            values: dict[str, Any] = {"account_id": account.id, "contact_id": person.id, "how": How.ARCHIVE}
            db.add(AccountContact(**values, since=MONDAY))
    return Desk(store, clock, Outbox())


@pytest.fixture
def customer(assistant: Assistant) -> Customer:
    return Customer(assistant)


# -- the three ways ---------------------------------------------------------------------------------------------------


async def test_a_code_to_the_registered_phone_binds_the_chat(customer: Customer, desk: Desk) -> None:
    said = await customer.says("绑定户号")
    assert customer.names == ["identity_way"] and customer.buttons == WAYS
    said = await customer.taps("短信验证码")
    assert customer.names == ["identity_number"]
    said = await customer.says(f"{no(1)[:4]} {no(1)[4:8]} {no(1)[8:]}")
    assert customer.names == ["identity_code"] and MILL not in said
    digits = await desk.work()
    assert digits and desk.outbox.sent[0][0] == PHONE
    said = await customer.says(f" {digits[:3]} {digits[3:]} ")
    assert customer.names == ["identity_bound"] and no(1) in said and MILL in said
    assert await desk.kinds("account.bound") == ["account.bound"]


async def test_name_and_last_digits_bind_the_chat_one_question_at_a_time(customer: Customer, desk: Desk) -> None:
    await customer.says(no(2))
    assert customer.names == ["identity_way"]
    await customer.says("用户名核实吧")
    assert customer.names == ["identity_name"]
    await customer.says("王小明")
    assert customer.names == ["identity_digits"]
    said = await customer.says("１２３５")
    assert customer.names == ["identity_bound"] and "王**" in said and "小明" not in said  # masked


@pytest.mark.parametrize("channel", list(Channel))
async def test_a_link_binds_at_once_and_does_not_stand_in_the_record(
    assistant: Assistant, desk: Desk, channel: Channel
) -> None:
    customer, link = Customer(assistant, channel=channel), await desk.link(1)
    said = await customer.says(link)
    assert customer.names == ["identity_bound"] and MILL in said
    async with desk.store.transaction() as db:
        lines = (await db.exec(select(RecordLine))).all()
    assert link.partition("-")[2] not in str([(line.text, line.body) for line in lines])
    other = Customer(assistant, address="other", channel=channel)
    said = await other.says(link)
    assert other.names == ["identity_link_wrong"] and MILL not in said and no(1) not in said


async def test_a_group_speaks_for_no_account(assistant: Assistant, desk: Desk) -> None:
    group, link = Customer(assistant, address="-100200", channel=Channel.TELEGRAM), await desk.link(1)
    for text in (link, "绑定户号", "我的户号", f"{no(1)} 的户名叫什么?"):
        said = await group.says(text)
        assert group.names == ["identity_private"] and MILL not in said
    await group.says(choice="bind:code")
    assert group.names == ["identity_private"]
    person = Customer(assistant, address="100200", channel=Channel.TELEGRAM)
    await person.says(link)  # not used up
    assert person.names == ["identity_bound"]


def test_only_a_whole_link_command_is_one() -> None:
    def token(text: str) -> str | None:
        return Inbound(Channel.WEB, "1", "a", text=text).token

    assert token("/start bind-abc_D-1") == token("/START@some_bot  bind-abc_D-1 ") == "abc_D-1"
    assert token("/start") is token("/start bind-") is token("x /start bind-a") is token("/start bind-a b") is None
    assert token("/start bind-" + "a" * 65) is None


async def test_a_repeated_link_message_is_one(assistant: Assistant, desk: Desk, customer: Customer) -> None:
    inbound = customer.inbound(await desk.link(1))
    first, again = await assistant.receive(inbound), await assistant.receive(inbound)
    assert first and again and again.repeated
    assert [line.text for line in first.replies] == [line.text for line in again.replies]


async def test_the_flow_goes_on_a_day_later(customer: Customer, desk: Desk) -> None:
    await customer.says("绑定户号")
    await customer.taps("短信验证码")
    desk.clock.forward(days=1)
    await customer.says(no(1))
    first = await desk.work()
    desk.clock.forward(days=1)
    assert first and "过期" in await customer.says(first)
    await customer.says("没收到，重发一下")
    assert customer.names == ["identity_code"]
    digits = await desk.work()
    assert digits
    await customer.says(digits)
    assert customer.names == ["identity_bound"]


async def test_going_back_and_cancelling_work_at_every_question(customer: Customer, desk: Desk) -> None:
    await customer.says(no(1))
    await customer.taps("户名和电话末四位")
    await customer.says(MILL)
    assert customer.names == ["identity_digits"]
    await customer.taps("上一步")
    assert customer.names == ["identity_name"]
    await customer.says("返回")
    assert customer.names == ["identity_number"]
    await customer.says("返回")
    assert customer.names == ["identity_way"]
    await customer.says("算了")
    assert customer.names == ["cancelled"]
    await customer.says("/cancel")
    assert customer.names == ["nothing_to_cancel"]


async def test_a_question_in_between_is_answered_and_the_flow_waits(customer: Customer, desk: Desk) -> None:
    await customer.says("绑定户号")
    await customer.taps("短信验证码")
    assert "二个月" in await customer.says("双电源的供电方案多久能出来?")
    await customer.says(no(1))
    assert customer.names == ["identity_code"]


async def test_danger_goes_before_any_question(customer: Customer, desk: Desk) -> None:
    await customer.says(no(1))
    await customer.taps("户名和电话末四位")
    await customer.says("电线掉下来冒火花了，有人触电")
    assert customer.names == ["danger"]


async def test_a_gateway_that_is_busy_is_tried_again_and_one_that_refuses_is_not(
    customer: Customer, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await customer.says("绑定户号")
    await customer.taps("短信验证码")
    await customer.says(no(1))
    desk.outbox.trouble = Trouble.BUSY
    with pytest.raises(SmsFailed):
        await desk.work()
    desk.outbox.trouble = Trouble.REFUSED
    assert await desk.work() is None
    assert "refuses" in caplog.text and PHONE not in caplog.text
    desk.outbox.trouble = None
    assert await desk.work()


# -- bound customers --------------------------------------------------------------------------------------------------


async def test_several_accounts_are_listed_switched_and_unbound(customer: Customer, desk: Desk) -> None:
    for number in (1, 3):
        await customer.says(await desk.link(number))
    said = await customer.says("我的户号")
    assert customer.names == ["my_accounts"] and said.index(no(3)) < said.index(no(1))  # the current one first
    await customer.taps(f"{no(1)} {MILL}")
    assert customer.names == ["identity_chosen"]
    async with desk.store.transaction() as db:
        account = await customers.account(db, no(1))
        assert (await db.exec(select(Conversation.account_id))).one() == account.id
    await customer.taps("我的用电户")
    await customer.taps("解除当前绑定")
    assert customer.names == ["identity_unbind"]
    await customer.taps("取消")
    assert no(1) in await customer.says("我的用电户")
    await customer.says("解绑")
    said = await customer.taps("确认解除")
    assert customer.names == ["identity_unbound"] and no(1) in said
    said = await customer.says("我的户号")
    assert no(1) not in said and no(3) in said


async def test_a_button_for_somebody_elses_account_is_stale(
    assistant: Assistant, customer: Customer, desk: Desk
) -> None:
    await customer.says(await desk.link(1))
    async with desk.store.transaction() as db:
        account = await customers.account(db, no(1))
    stranger = Customer(assistant, address="stranger")
    for choice in (f"account:{account.id}", f"unbind:{account.id}", f"unbound:{account.id}", "account:x", "bind:all"):
        said = await stranger.says(choice=choice)
        assert stranger.names == ["stale_choice"] and MILL not in said
    assert no(1) in await customer.says("我的户号")


async def test_my_manager_is_named_to_whom_the_account_belongs(
    assistant: Assistant, customer: Customer, desk: Desk
) -> None:
    await customer.says(await desk.link(1))
    await customer.says("谁是我的客户经理？")
    assert customer.names == ["no_manager"]
    async with desk.store.transaction() as db:
        manager = await staff.add(db, "赵经理", Role.MANAGER, hashed=None, by="t", at=MONDAY, phone="0515-8000001")
        area = await areas.area(db, "城北", create=True)
        area.manager_id = manager.id
        account = await customers.account(db, no(1))
        account.area_id = area.id
        db.add_all([area, account])
    said = await customer.says("谁是我的客户经理？")
    assert customer.names == ["my_manager"] and "赵经理" in said and "0515-8000001" in said
    stranger = Customer(assistant, address="stranger")
    said = await stranger.says("谁是我的客户经理？")
    assert "赵经理" not in said and stranger.names in (["answer"], ["choices"], ["identity_way"])


async def test_a_bound_customer_asks_about_the_own_account_and_not_about_another(
    customer: Customer, desk: Desk
) -> None:
    await customer.says(await desk.link(1))
    for text in (f"户号 {no(1)} 用了多少电", "我这个月用了多少电"):
        assert MILL in await customer.says(text)
        assert customer.names == ["account_data"]
    said = await customer.says(f"户号 {no(3)} 用了多少电")
    assert customer.names == ["identity_way"] and "港口" not in said


# -- scenario 17 ------------------------------------------------------------------------------------------------------


async def test_a_stranger_with_a_number_learns_nothing_not_even_whether_it_exists(
    assistant: Assistant, desk: Desk
) -> None:
    """Scenario 17, first half: usage, name and outage address of another firm, beside a number nobody has."""
    questions = (
        "户号 {} 上个月用了多少电?", "{} 的户名叫什么?", "{} 停电的是哪个地址？", "{}", "户号{}存在吗", "{}登记的电话是多少"
    )  # fmt: skip
    heard = []
    for number in (no(1), "777700007777"):
        stranger, said = Customer(assistant, address=number), []
        for question in questions:
            said.append(await stranger.says(question.format(number)))
            assert "identity_way" in stranger.names or "identity_name" in stranger.names, (question, stranger.names)
        heard.append(said)
        for text in said:
            assert not re.search(rf"{MILL}|{STREET}|李芳|{PHONE}|{number}", text)
    assert heard[0] == heard[1]


@pytest.mark.parametrize("way", ["code", "name"])
async def test_thirteen_numbers_in_a_row_are_answered_alike_throttled_and_logged(
    assistant: Assistant, desk: Desk, way: str
) -> None:
    """Scenario 17, second half: three of the thirteen exist."""
    stranger, replies = Customer(assistant, address="stranger"), []
    numbers = [no(1), "8" * 12, no(2), "7" * 10, no(3), *(f"{n:012}" for n in range(8))]
    for number in numbers:
        await stranger.says(f"户号 {number} 用了多少电?")
        await stranger.says(choice=f"bind:{way}")
        if way == "name":
            await stranger.says("随便写的")
            await stranger.says("0000")
        replies.append("\n".join(line.text for line in stranger.last))
        assert not re.search(rf"{MILL}|{STREET}|王|港口", replies[-1])
    assert len(set(replies[:5])) == len(set(replies[5:])) == 1 and replies[0] != replies[5]
    assert stranger.names == ["identity_throttled"]
    async with desk.store.transaction() as db:
        log = [line.reason for line in await access.read(db)]
        tries = (await db.exec(select(BindTry.how))).all()
    assert log.count("throttled") == 8 and len(tries) == 5
    assert log.count("wrong") == (5 if way == "name" else 0)
    assert (await desk.kinds("binding.")).count("binding.throttled") == 8
    # and a fault, told by its address, is still taken
    await stranger.says(f"{STREET}停电了，电表箱跳闸")
    assert "about_fault_report" in stranger.names or "about_outage_status" in stranger.names
    assert "LY" in await stranger.taps("把这条留给工作人员")
    assert await desk.kinds("message.left") == ["message.left"]


async def test_in_a_real_process_the_code_stands_in_the_log_and_binds(
    start: Callable[..., Process], desk: Desk
) -> None:
    process = start("run").ready()
    async with httpx.AsyncClient(base_url=f"{process.base}/api/v1/chat", timeout=20) as http:
        key = {"Authorization": f"Bearer {(await http.post('/sessions')).json()['token']}"}

        async def sends(number: int, **body: str) -> str:
            answer = await http.post("/messages", json={"client_id": str(number), **body}, headers=key)
            return str(answer.json()["messages"][-1]["text"])

        await sends(1, text="绑定户号")
        await sends(2, choice="bind:code")
        await sends(3, text=no(1))
        sent = re.compile(r"138\*{4}1234: [^\d]*(\d{6})")
        found = await asyncio.to_thread(until, lambda: sent.search(process.output()))
        assert MILL in await sends(4, text=found[1])
    assert PHONE not in process.output()
    assert process.stop() == 0


async def test_after_an_hour_the_owner_can_prove_it_again(assistant: Assistant, desk: Desk) -> None:
    customer = Customer(assistant)
    for _ in range(6):
        await customer.says(no(1))
        await customer.taps("户名和电话末四位")
        await customer.says("别的厂")
        await customer.says("0000")
    assert customer.names == ["identity_throttled"]
    desk.clock.forward(hours=1)
    await customer.says(no(1))
    await customer.taps("户名和电话末四位")
    await customer.says(MILL)
    await customer.says("1234")
    assert customer.names == ["identity_bound"]


# -- the steps alone --------------------------------------------------------------------------------------------------

MINE: Final = (Mine(1, "3201000021", "Mill"), Mine(2, "3201000022", "Port", current=True))


def first(turn: Turn | None) -> str | None:
    return turn.replies[0].name if turn and turn.replies else type(turn.wish).__name__ if turn else None


@pytest.mark.parametrize(
    ("text", "stranger", "bound"),
    [
        ("绑定户号", "identity_way", "identity_way"), ("我想绑定一下户号", "identity_way", "identity_way"),
        ("Link my account", "identity_way", "identity_way"), ("我的用电户", "identity_way", "my_accounts"),
        ("查看我的户号", "identity_way", "my_accounts"), ("My accounts", "identity_way", "my_accounts"),
        ("切换户号", "identity_way", "my_accounts"), ("解绑户号", "identity_way", "identity_unbind"),
        ("unlink my account", "identity_way", "identity_unbind"), ("谁是我的客户经理", None, "AskManager"),
        ("我的客户经理电话是多少？", None, "AskManager"), ("Who is my manager?", None, "AskManager"),
        ("客户经理是做什么的", None, None), ("3201000022", "identity_way", "account_data"),
        ("户号：3201000022。", "identity_way", "account_data"), ("3201000099 用了多少电", "identity_way", "identity_way"),
        ("这户叫什么名字", "identity_way", "account_data"), ("我的用电量标准怎么算", None, None),
        ("13800001234", None, None), ("户号3201000022停电了", None, None), ("双电源多久能出方案", None, None),
        ("要不要绑定什么东西才能报装", None, None), ("x" * 101, None, None),
    ],
)  # fmt: skip
def test_what_is_a_request_about_accounts(text: str, stranger: str | None, bound: str | None) -> None:
    assert first(identity.asked(text, ())) == stranger
    assert first(identity.asked(text, MINE)) == bound


@pytest.mark.parametrize(
    ("at", "text", "expected"),
    [
        ("way", "1", "identity_number"), ("way", "发短信", "identity_number"), ("way", "name", "identity_number"),
        ("way", "什么户名?", None), ("way", "3201000022", "identity_way"), ("number", "3201", "identity_number"),
        ("number", "我不知道", None), ("code", "12345", "identity_code"), ("code", "没收到", "SendCode"),
        ("code", "3201 0000 23", "SendCode"), ("code", "报装要多久", None), ("digits", "12345", "identity_digits"),
        ("digits", "报装要多久", None), ("name", "", None), ("digits", "back", "identity_name"),
    ],
)  # fmt: skip
def test_what_is_typed_is_taken_for_what_was_asked(at: str, text: str, expected: str | None) -> None:
    flow = {"name": "identity", "at": at, "way": "code", "no": "3201000021"}
    if at in ("way", "number"):
        del flow["no"]
    assert first(identity.said(flow, text, ANYTHING)) == expected


def test_words_for_a_person_are_no_name() -> None:
    flow = {"name": "identity", "at": "name", "way": "name", "no": "3201000021"}
    assert identity.said(flow, "转人工", Reading(Intent.HUMAN_AGENT, 0.95, False)) is None
    assert first(identity.said(flow, "人工智能公司", Reading(Intent.HUMAN_AGENT, 0.5, False))) == "identity_digits"


def test_wishes_carry_what_was_said() -> None:
    flow = {"name": "identity", "at": "digits", "way": "name", "no": "3201000021", "holder": "Mill"}
    told = identity.said(flow, "1234", ANYTHING)
    assert told and told.wish == ProveName("3201000021", "Mill", "1234")
    told = identity.said({**flow, "at": "code"}, "12 34-56", ANYTHING)
    assert told and told.wish == ConfirmCode("3201000021", "123456")
    told = identity.tapped(flow, "bind", "again", ())
    assert told and told.wish == SendCode("3201000021")
    told = identity.asked("谁是我的客户经理", MINE)
    assert told and told.wish == AskManager(2)
