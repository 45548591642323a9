"""People on call are told about danger: by text message, on Telegram where they can be reached, and once."""

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.on_call import OnCall
from desk import alarms
from desk.conversations import Channel
from desk.sms import SmsFailed, Trouble
from tests.bot.hall import Hall
from tests.bot.talk import Customer

DANGER = "变压器着火了，有人触电"


@dataclass
class Outbox:
    """An SMS gateway that keeps what it was given."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    trouble: Trouble | None = None

    async def send(self, phone: str, text: str) -> None:
        if self.trouble:
            raise SmsFailed(self.trouble, "503")
        self.sent.append((phone, text))


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


async def alarm(hall: Hall, text: str = DANGER) -> int:
    """Somebody reports danger; the number of the alarm."""
    await (await hall.customer()).says(text)
    async with hall.store.transaction() as db:
        return (await alarms.find(db))[0].id or 0


def job(hall: Hall, outbox: Outbox, language: str = "zh_CN") -> OnCall:
    return OnCall(hall.store, hall.clock, outbox, language)


async def deferred(hall: Hall) -> list[dict[str, Any]]:
    """The jobs that tell somebody, in order."""
    async with hall.store.transaction() as db:
        rows = await (await db.connection()).exec_driver_sql(
            "SELECT args FROM procrastinate_jobs WHERE task_name = 'tell_on_call' ORDER BY id"
        )
        return [row[0] for row in rows]


async def test_the_first_of_the_list_is_told_in_the_transaction_of_the_message(hall: Hall) -> None:
    await hall.rules(alarms={"on_call": [{"name": "张值班", "phone": "13800001230", "telegram": "77"}]})
    number = await alarm(hall)
    assert await deferred(hall) == [{"alarm": number, "number": 1, "phone": "13800001230", "telegram": "77"}]


async def test_without_a_list_the_consoles_are_alarmed_all_the_same(hall: Hall) -> None:
    assert await alarm(hall) and await deferred(hall) == []


@pytest.mark.parametrize(("language", "said"), [("zh_CN", "报告危险"), ("en", "danger")])
async def test_the_message_says_who_and_what(hall: Hall, outbox: Outbox, language: str, said: str) -> None:
    number = await alarm(hall, DANGER + "，在城南路三号" * 20)
    await job(hall, outbox, language).tell(number, 1, "13800001230", "")
    [(phone, text)] = outbox.sent
    assert phone == "13800001230" and said in text and DANGER in text and len(text) < 200


async def test_who_is_on_call_reads_it_on_telegram_once(hall: Hall, outbox: Outbox) -> None:
    await Customer(hall.assistant, "77", Channel.TELEGRAM).says("/start")
    number = await alarm(hall)
    outbox.trouble = Trouble.BUSY
    with pytest.raises(SmsFailed):
        await job(hall, outbox).tell(number, 1, "13800001230", "77")
    outbox.trouble = None
    await job(hall, outbox).tell(number, 1, "13800001230", "77")
    assert len([text for text in await hall.delivered() if "报告危险" in text]) == 1 and len(outbox.sent) == 1
    await job(hall, outbox).tell(number, 3, "13800001230", "77")  # after the whole list it is their turn again
    assert len([text for text in await hall.delivered() if "报告危险" in text]) == 2


async def test_who_never_wrote_to_the_bot_gets_the_text_message_alone(hall: Hall, outbox: Outbox) -> None:
    number = await alarm(hall)
    await job(hall, outbox).tell(number, 1, "13800001230", "4711")
    assert len(outbox.sent) == 1 and not [text for text in await hall.delivered() if "报告危险" in text]


async def test_nobody_is_told_of_what_somebody_looks_after(hall: Hall, outbox: Outbox) -> None:
    number = await alarm(hall)
    async with hall.store.transaction() as db:
        await alarms.acknowledge(db, number, by="test", at=hall.clock.now())
    await job(hall, outbox).tell(number, 1, "13800001230", "")
    assert outbox.sent == []


async def test_a_gateway_that_refuses_is_written_to_the_log_and_not_asked_again(
    hall: Hall, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    number = await alarm(hall)
    outbox.trouble = Trouble.REFUSED
    with caplog.at_level(logging.ERROR, "greenline.on_call"):
        await job(hall, outbox).tell(number, 1, "13800001230", "")
    assert "refuses the alarm" in caplog.text
