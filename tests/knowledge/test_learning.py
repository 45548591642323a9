"""The learning list: what comes onto it, what belongs together, and what publishing does to the guide."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bot.mind import Mind
from bot.trials import Trials
from desk.store import Bell, Store
from knowledge import encoders, entries, learning, trial
from knowledge import text as words
from knowledge.clusters import Said, clusters
from knowledge.encoders import Remembering
from knowledge.entries import Draft, as_entries, seeds
from knowledge.learning import CannotLearn, Outcome, Stage, Trouble, Why
from knowledge.search import Decision, Guide, strange_questions
from tests.conftest import MONDAY, SetClock

Rows = Callable[[str], list[dict[str, Any]]]
AGENT, CHIEF = "赵强", "孙洁"
TAXI = "班车几点从厂门口发车"


async def items(store: Store, *questions: str, why: Why = Why.ABSTAINED, first: int = 1) -> list[int]:
    """Questions put on the list, each of a line of its own."""
    async with store.transaction() as db:
        for line, question in enumerate(questions, first):
            await learning.note(db, question, why, line=line, finding=None, by="customer", at=MONDAY)
        return [item.id or 0 for item in reversed(await learning.open_items(db))]


async def proposed(store: Store, kind: Outcome, numbers: list[int], **more: Any) -> int:
    async with store.transaction() as db:
        change = await learning.propose(db, kind, numbers, by=AGENT, at=MONDAY, **more)
        assert change.id
        return change.id


async def tried(store: Store, number: int, **report: Any) -> int:
    """The change as if its trial had shown this."""
    async with store.transaction() as db:
        change = await learning.change_of(db, number)
        change.stage, change.report = Stage.TRIED, {"worse": [], **report}
        db.add(change)
    return number


async def published(store: Store, number: int, *, by: str = AGENT, reviewer: bool = False) -> None:
    async with store.transaction() as db:
        await learning.publish(db, number, by=by, at=MONDAY, reviewer=reviewer)


# -- items ------------------------------------------------------------------------------------------------------------


async def test_a_question_of_one_line_is_noted_once_for_each_reason(store: Store) -> None:
    async with store.transaction() as db:
        for _ in range(2):
            for why in (Why.ABSTAINED, Why.WRONG):
                await learning.note(db, "几点下班？", why, line=7, finding=None, by="customer", at=MONDAY)
        assert [(item.line_id, item.why) for item in await learning.open_items(db)] == [(7, "wrong"), (7, "abstained")]


async def test_what_the_guide_offered_then_is_kept(store: Store, loaded: Mind) -> None:
    finding = loaded.guide.find("报装去哪办")
    async with store.transaction() as db:
        await learning.note(db, "报装去哪办", Why.THIRD, line=1, finding=finding, by="customer", at=MONDAY)
        [item] = await learning.open_items(db)
    assert [key for key, _ in item.offered] == [match.entry.key for match in finding.matches]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("我的户号3301234567890欠费吗", "我的户号*************欠费吗"),
        ("打 138 0013 8000 找我", "打 ************* 找我"),
        ("１３８００１３８０００", "***********"),
        ("一三八零零一三八零零零打这个", "***********打这个"),
        ("10kV 的 630 千伏安", "10kV 的 630 千伏安"),
    ],
)
def test_long_numbers_are_blotted_out(said: str, kept: str) -> None:
    assert learning.masked(said) == kept


async def test_a_question_without_a_word_is_not_noted(store: Store) -> None:
    async with store.transaction() as db:
        assert not await learning.note(db, "？？？", Why.ABSTAINED, line=1, finding=None, by="customer", at=MONDAY)


async def test_forgetting_lines_takes_open_items_and_the_words_of_settled_ones(store: Store) -> None:
    numbers = await items(store, TAXI, "食堂今天有什么菜", "还没处理的问题")
    change = await tried(store, await proposed(store, Outcome.OUT_OF_SCOPE, numbers[:1]))
    await published(store, change)
    async with store.transaction() as db:
        assert await learning.forget(db, [1, 2]) == 2
        assert [item.question for item in await learning.open_items(db)] == ["还没处理的问题"]
        [item] = await learning.items_of(db, await learning.change_of(db, change))
        assert (item.question, item.line_id, item.outcome, item.settled_by) == ("", None, "out_of_scope", AGENT)
        assert (await learning.change_of(db, change)).questions == []


# -- clusters ---------------------------------------------------------------------------------------------------------


def as_said(question: str, guide: Guide) -> Said:
    bare = words.bare(words.clean(question))
    offered = [(match.entry.key, match.score) for match in guide.find(question).matches]
    return Said(bare, encoders.lite().encode([bare])[0], offered)


def test_questions_for_the_same_entry_come_together(guide: Guide, rows: Rows) -> None:
    asked = [row for name in ("questions_held_out.jsonl", "questions_probe.jsonl") for row in rows(name)]
    asked = [row for row in asked if row.get("id") or row.get("ids")]
    right = [set(row.get("ids") or [row["id"]]) for row in asked]
    groups = clusters([as_said(row["q"], guide) for row in asked])
    pure = sum(max(Counter(key for place in group for key in right[place]).values()) for group in groups)
    together = sum(len(group) for group in groups if len(group) > 1)
    assert len(asked) > 300
    assert pure / len(asked) > 0.93  # of the questions of a group ask for the same entry
    assert together / len(asked) > 0.9  # stand in a group with others
    assert len(groups) < 1.3 * len(set.union(*right))


def test_five_thousand_questions_are_grouped_in_less_than_two_seconds() -> None:
    numbers = np.random.default_rng(7)
    bare = [words.bare(words.clean(question)) for question in strange_questions()[:500]]
    vectors = encoders.lite().encode(bare)
    said = [
        Said(bare[n % 500] + str(n // 500), vectors[n % 500], [(f"k{numbers.integers(90)}", 0.4)]) for n in range(5000)
    ]
    began = time.process_time()
    groups = clusters(said)
    assert time.process_time() - began < 4  # seconds of two cores
    assert sum(map(len, groups)) == 5000


def test_without_anything_offered_the_words_alone_decide() -> None:
    asked = ("厂门口能停几辆大货车", "厂门口能停大货车吗", "食堂几点开饭", "食堂几点开饭呀")
    bare = [words.bare(words.clean(question)) for question in asked]
    vectors = encoders.lite().encode(bare)
    said = [Said(text, vector, []) for text, vector in zip(bare, vectors, strict=True)]
    assert clusters(said) == [[0, 1], [2, 3]]
    assert clusters([*said[:1], Said(bare[1], vectors[1], [("g02", 0.5)])]) == [[0, 1]]


def test_no_questions_make_no_groups() -> None:
    assert clusters([]) == []


# -- changes ----------------------------------------------------------------------------------------------------------


async def test_aliases_make_a_new_version_without_doubles_or_numbers(store: Store) -> None:
    numbers = await items(store, "我在外地 谁能替我跑腿", "我在外地，谁能替我跑腿？", "找13800138000替我跑")
    await published(store, await tried(store, await proposed(store, Outcome.ALIAS, numbers, entry="g02")))
    async with store.transaction() as db:
        row = next(row for row in await entries.current(db) if row.key == "g02")
        items_left = await learning.open_items(db)
    assert row.version == 2 and row.by == AGENT
    assert row.content["aliases"][-2:] == ["我在外地 谁能替我跑腿", "找***********替我跑"]
    assert items_left == []


async def test_an_item_cannot_be_in_two_changes(store: Store) -> None:
    numbers = await items(store, TAXI)
    await proposed(store, Outcome.OUT_OF_SCOPE, numbers)
    with pytest.raises(CannotLearn) as caught:
        await proposed(store, Outcome.ALIAS, numbers, entry="g02")
    assert caught.value.trouble == Trouble.TAKEN


@pytest.mark.parametrize(
    ("kind", "more", "trouble"),
    [
        (Outcome.ALIAS, {"entry": "nothing"}, Trouble.UNKNOWN_ENTRY),
        (Outcome.ENTRY, {"draft": {"title": "", "answer": "x", "document": "y"}}, Trouble.BAD_DRAFT),
        (Outcome.ALIAS, {"entry": "g02", "questions": ["…"]}, Trouble.NO_QUESTION),
    ],
)
async def test_what_cannot_be_proposed_leaves_the_item_on_the_list(
    store: Store, kind: Outcome, more: dict[str, Any], trouble: Trouble
) -> None:
    numbers = await items(store, TAXI)
    with pytest.raises(CannotLearn) as caught:
        await proposed(store, kind, numbers, **more)
    assert caught.value.trouble == trouble
    async with store.transaction() as db:
        assert len(await learning.open_items(db)) == 1


async def test_nothing_is_published_before_it_was_tried(store: Store) -> None:
    change = await proposed(store, Outcome.OUT_OF_SCOPE, await items(store, TAXI))
    with pytest.raises(CannotLearn) as caught:
        await published(store, change)
    assert caught.value.trouble == Trouble.NOT_TRIED


DRAFT = {"title": "班车时刻", "answer": "班车七点半从厂门口发车。", "document": "厂务通知", "article": "第一条"}


async def test_a_new_entry_needs_a_second_pair_of_eyes_that_may_review(store: Store) -> None:
    change = await tried(store, await proposed(store, Outcome.ENTRY, await items(store, TAXI), draft=DRAFT))
    for by, reviewer in ((AGENT, True), (CHIEF, False)):
        with pytest.raises(CannotLearn) as caught:
            await published(store, change, by=by, reviewer=reviewer)
        assert caught.value.trouble == Trouble.OWN_WORK
    await published(store, change, by=CHIEF, reviewer=True)
    async with store.transaction() as db:
        entry = next(row for row in await entries.current(db) if row.key == f"learned-{change}").entry()
    assert (entry.title, entry.question, entry.document) == ("班车时刻", TAXI, "厂务通知")


async def test_a_change_that_breaks_answers_takes_a_reviewer(store: Store) -> None:
    change = await proposed(store, Outcome.ALIAS, await items(store, TAXI), entry="g02")
    await tried(store, change, worse=[{"question": "x"}])
    with pytest.raises(CannotLearn) as caught:
        await published(store, change)
    assert caught.value.trouble == Trouble.BREAKS
    await published(store, change, by=CHIEF, reviewer=True)


async def test_a_refused_change_says_why_and_gives_its_items_back(store: Store) -> None:
    change = await proposed(store, Outcome.ENTRY, await items(store, TAXI), draft=DRAFT)
    async with store.transaction() as db:
        with pytest.raises(CannotLearn):
            await learning.refuse(db, change, reason=" ", by=CHIEF, at=MONDAY)
        await learning.refuse(db, change, reason="没有依据", by=CHIEF, at=MONDAY)
        assert [item.question for item in await learning.open_items(db)] == [TAXI]
        assert (await learning.change_of(db, change)).reason == "没有依据"
        with pytest.raises(CannotLearn):
            await learning.publish(db, change, by=CHIEF, at=MONDAY, reviewer=True)


async def test_the_latest_decision_about_a_question_counts(store: Store) -> None:
    [number] = await items(store, TAXI)
    await published(store, await tried(store, await proposed(store, Outcome.OUT_OF_SCOPE, [number])))
    [again] = await items(store, TAXI, first=2)
    await published(store, await tried(store, await proposed(store, Outcome.ALIAS, [again], entry="g02")))
    async with store.transaction() as db:
        learned = await learning.learned(db)
    assert learned.negatives == () and learned.asked == {"g02": [TAXI]}


async def test_the_next_edition_of_a_document_keeps_the_aliases_people_added(store: Store) -> None:
    drafts = {"w1": Draft(title="水表", answer="水表每年检一次。", document="用水指南")}
    async with store.transaction() as db:
        await entries.publish(db, drafts, origin="用水指南", by=AGENT, at=MONDAY, complete=True)
    change = await proposed(store, Outcome.ALIAS, await items(store, "水表多久校一回"), entry="w1")
    await published(store, await tried(store, change))
    async with store.transaction() as db:
        assert (await entries.compare(db, drafts, origin="用水指南"))["unchanged"] == ["w1"]
        newer = {"w1": Draft(title="水表", answer="水表两年检一次。", document="用水指南")}
        assert await entries.publish(db, newer, origin="用水指南", by=AGENT, at=MONDAY, complete=True) == (1, 0)
        row = next(row for row in await entries.current(db) if row.key == "w1")
        assert row.content["aliases"] == ["水表多久校一回"]
        assert await entries.publish(db, {}, origin="用水指南", by=AGENT, at=MONDAY, complete=True) == (0, 1)


# -- what search learns -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "lite"])
def test_learned_negatives_silence_what_says_the_same_and_no_answerable_question(
    rows: Rows, shipped_lite: Remembering, shipped_full: Remembering, mode: str
) -> None:
    held_out = rows("questions_held_out.jsonl")
    strange = [row["q"] for row in held_out if not (row.get("id") or row.get("ids"))]
    full = shipped_full if mode == "full" else None
    guide = Guide(as_entries(seeds()), shipped_lite, full, negatives=[*strange, *strange_questions()])
    known = [row["q"] for row in held_out if row.get("id") or row.get("ids")]
    assert [question for question in known if guide.find(question).refused] == []
    again = [guide.find(f"请问{question.rstrip('？?')}呢") for question in strange]
    assert sum(finding.refused for finding in again) / len(again) > 0.9
    assert all(finding.decision is Decision.ABSTAIN for finding in again if finding.refused)


def test_a_negative_does_not_silence_the_same_wish_in_other_words(
    shipped_lite: Remembering, shipped_full: Remembering
) -> None:
    plain = Guide(as_entries(seeds()), shipped_lite, shipped_full)
    question = "报装去哪办"
    assert plain.find(question).decision is Decision.ANSWER
    careful = Guide(as_entries(seeds()), shipped_lite, shipped_full, negatives=["报警去哪办", "报销去哪里办"])
    assert careful.find(question) == plain.find(question)
    assert careful.find("报销去哪里办啊").refused


def test_a_question_people_assigned_is_found_even_if_the_file_does_not_have_it(
    shipped_lite: Remembering, shipped_full: Remembering
) -> None:
    guide = Guide(as_entries(seeds()), shipped_lite, shipped_full, learned={"g02": [TAXI], "gone": ["x"]})
    assert guide.find(TAXI).matches[0].entry.key == "g02"
    assert guide.find(TAXI, blind=True).matches[0].score < guide.find(TAXI).matches[0].score


# -- trials and running guides ----------------------------------------------------------------------------------------


async def test_a_trial_shows_what_becomes_of_its_own_and_of_the_regression_questions(
    store: Store, mind: Mind, clock: SetClock, config: Any
) -> None:
    change = await proposed(store, Outcome.ALIAS, await items(store, TAXI), entry="g02")
    await Trials(store, mind, clock, zone=config.zone).work(change)
    async with store.transaction() as db:
        found = await learning.change_of(db, change)
    assert found.stage == Stage.TRIED and found.done == found.total > 200
    assert found.report
    [own] = found.report["own"]
    assert own["before"]["decision"] == "abstain" and own["after"]["entries"][0] == "g02"
    assert found.report["questions"] > 200 and found.report["top1"][0] > 80


def test_an_alias_that_steals_questions_is_caught(
    loaded: Mind, shipped_lite: Remembering, shipped_full: Remembering
) -> None:
    published = as_entries(seeds())
    stolen = [case.question for case in trial.cases(learning.Learned({}, ()), {"g05"})]
    change = learning.LearningChange(
        kind=Outcome.ALIAS, entry="c06", questions=[f"{question}啊" for question in stolen], by=AGENT, at=MONDAY
    )
    after = Guide(learning.changed(change, published), shipped_lite, shipped_full)
    asked = trial.cases(learning.Learned({}, ()), {entry.key for entry in published})
    report = trial.compare(loaded.guide, after, asked, change, step=lambda _: None)
    assert {question["question"] for question in report["worse"]} & set(stolen)
    assert report["top1"][1] < report["top1"][0]


async def test_a_running_guide_follows_aliases_and_negatives(store: Store, bell: Bell, mind: Mind) -> None:
    question = "报装去哪办"
    change = await proposed(store, Outcome.OUT_OF_SCOPE, await items(store, f"{question}呀"))
    assert (await mind.find(question)).decision is Decision.ANSWER
    rings = bell.rings(entries.TOPIC, patience=20)
    assert await anext(rings)
    await published(store, await tried(store, change))
    assert await anext(rings), "nothing rang"
    await mind.load()
    assert (await mind.find(TAXI)).refused is False
    assert mind._known and mind._known[1].negatives == (f"{question}呀",)
