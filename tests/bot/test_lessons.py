"""Which questions of a conversation reach the learning list."""

from sqlmodel import col, select

from bot.assistant import Assistant
from desk.store import Store
from knowledge.learning import LearningItem, Why
from tests.bot.talk import Customer

VAGUE = "我们几个人都不懂电,想请你们出个主意,看怎么把厂里的电管起来"


async def items(store: Store) -> list[tuple[str, str]]:
    async with store.transaction() as db:
        found = (await db.exec(select(LearningItem).order_by(col(LearningItem.id)))).all()
    return [(item.question, item.why) for item in found]


async def test_a_question_without_an_answer_is_listed_and_small_talk_is_not(assistant: Assistant, store: Store) -> None:
    customer = Customer(assistant)
    await customer.says("你好")
    assert await items(store) == []
    await customer.says("你们食堂中午几点开饭？")
    assert await items(store) == [("你们食堂中午几点开饭?", Why.ABSTAINED)]


async def test_an_answer_that_was_not_meant_is_listed_with_what_was_asked(assistant: Assistant, store: Store) -> None:
    customer = Customer(assistant)
    await customer.says("双电源的供电方案多久能出来？")
    assert customer.names == ["answer"]
    await customer.taps("没答到点上")
    assert await items(store) == [("双电源的供电方案多久能出来?", Why.WRONG)]


async def test_the_third_choice_is_listed_and_the_first_is_not(assistant: Assistant, store: Store) -> None:
    customer = Customer(assistant)
    await customer.says(VAGUE)
    offered = [choice["id"] for choice in customer.last[-1].body["choices"] if choice["id"].startswith("ask:")]
    assert customer.names == ["choices"] and len(offered) == 3
    await customer.taps(customer.last[-1].body["choices"][2]["label"])
    assert await items(store) == [(VAGUE, Why.THIRD)]
    await customer.says(VAGUE)
    await customer.taps(customer.last[-1].body["choices"][0]["label"])
    assert await items(store) == [(VAGUE, Why.THIRD)]
