"""One message: recorded, answered and stored in one transaction, whatever it holds."""

from bot.assistant import Assistant
from bot.inbound import Inbound
from desk.conversations import Channel


def typed(text: str, number: int = 1) -> Inbound:
    return Inbound(Channel.WEB, f"1:{number}", "visitor", text=text)


async def test_dual_source_deadline_is_answered_with_its_article(assistant: Assistant) -> None:
    received = await assistant.receive(typed("双电源的供电方案多久能出来?"))
    assert received is not None
    [reply] = received.replies
    assert "二个月" in reply.text
    [source] = reply.body["sources"]
    assert source["document"] == "大客户用电申请服务指南" and "四" in source["article"]


async def test_low_voltage_deadline_is_not_invented(assistant: Assistant) -> None:
    received = await assistant.receive(typed("低压居民要多久?"))
    assert received is not None
    [reply] = received.replies
    assert reply.body["name"] == "silent" and not reply.body["sources"]
