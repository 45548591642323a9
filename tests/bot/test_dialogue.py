"""The dialogue step: every branch, without a database, a channel or a clock."""

from collections.abc import Iterable
from typing import Any

import pytest

from bot import dialogue
from bot.dialogue import Alarm, Heard, Left, Outcome, Scene
from bot.inbound import File, Inbound, Location
from bot.reception import Join, Leave
from desk.conversations import Channel
from desk.queue import Reason
from knowledge import checklists, entries
from knowledge.entries import Entry
from knowledge.intents import Intent, Reading
from knowledge.search import Decision, Finding, Match

ENTRIES = {entry.key: entry for entry in entries.as_entries(entries.seeds())}
LINE = 7


def scene(**more: Any) -> Scene:
    values: dict[str, Any] = {
        "language": "zh_CN",
        "flow": {},
        "kept": None,
        "line": LINE,
        "entry": ENTRIES.get,
        "checklists": checklists.load(),
        "topics": lambda name: [ENTRIES["g10"], ENTRIES["g11"]] if name == "apply" else [],
    }
    return Scene(**values | more)


def found(decision: Decision, *keys: str) -> Finding:
    return Finding(decision, 0.9, tuple(Match(ENTRIES[key], 0.9) for key in keys))


NOTHING = found(Decision.ABSTAIN, "g10")


def heard(intent: Intent = Intent.ASK_GUIDE, finding: Finding | None = NOTHING, *, danger: bool = False) -> Heard:
    return Heard(Reading(intent, 0.9, danger), finding)


def say(text: str, understood: Heard | None = None, /, **more: Any) -> Outcome:
    inbound = {name: more.pop(name) for name in ("files", "location") if name in more}
    message = Inbound(Channel.WEB, "1", "a", text=text, **inbound)
    return dialogue.step(scene(**more), message, understood or heard())


def tap(choice: str, **more: Any) -> Outcome:
    return dialogue.step(scene(**more), Inbound(Channel.WEB, "1", "a", choice=choice), heard(Intent.SMALLTALK, None))


def names(outcome: Outcome) -> list[str]:
    return [reply.name for reply in outcome.replies]


def ids(outcome: Outcome) -> list[str]:
    return [choice.id for reply in outcome.replies for choice in reply.choices]


def documents(outcome: Outcome) -> list[str]:
    [listed] = [reply for reply in outcome.replies if reply.name == "checklist_documents"]
    return list(listed.facts["documents"])


# -- the guide --------------------------------------------------------------------------------------------------------


def test_an_answer_is_the_entry_itself_and_cites_it() -> None:
    outcome = say("双电源多久", heard(finding=found(Decision.ANSWER, "g11", "g10")))
    [reply] = outcome.replies
    assert reply.facts == {"answer": ENTRIES["g11"].answer.strip(), "cut": False}
    assert [(s.entry, s.version, s.article) for s in reply.sources] == [("g11", 0, "第四条")]
    assert ids(outcome) == ["ask:g10", f"keep:{LINE}"]


def test_an_answer_to_an_english_reader_is_english() -> None:
    [reply] = say("dual", heard(finding=found(Decision.ANSWER, "g11")), language="en").replies
    assert "two months" in reply.facts["answer"] and reply.sources[0].article == "Article 4"


def test_up_to_three_choices_and_a_way_out_when_unsure() -> None:
    outcome = say("方案", heard(finding=found(Decision.CHOICES, "g10", "g11", "g14")))
    assert names(outcome) == ["choices"]
    assert ids(outcome) == ["ask:g10", "ask:g11", "ask:g14", f"keep:{LINE}"]


def test_silence_of_the_guide_is_said_and_offers_a_person() -> None:
    assert names(say("低压居民要多久?")) == ["silent"]
    assert f"keep:{LINE}" in ids(say("低压居民要多久?"))


def test_a_long_message_is_answered_as_such() -> None:
    long = "这是一段很长的话" * 100
    assert names(say(long)) == ["silent_long"]
    [reply] = say(long, heard(finding=found(Decision.ANSWER, "g11"))).replies
    assert reply.facts["cut"] is True


def test_an_answer_about_a_project_offers_the_list_for_the_own_case() -> None:
    assert "check:factory" in ids(say("厂里", heard(finding=found(Decision.ANSWER, "g18"))))
    assert "check:office" in ids(say("楼", heard(finding=found(Decision.ANSWER, "g20"))))
    assert "check" in ids(say("补资料", heard(finding=found(Decision.ANSWER, "g15"))))


def test_a_message_without_words_gets_the_menu() -> None:
    outcome = say("😀😀", Heard(Reading(Intent.SMALLTALK, 1.0, False), None))
    assert names(outcome) == ["wordless"] and "person" in ids(outcome)


# -- other intents ----------------------------------------------------------------------------------------------------


def test_small_talk_is_answered_in_kind() -> None:
    assert names(say("你好", heard(Intent.SMALLTALK))) == ["smalltalk"]


def test_an_intent_that_is_only_guessed_is_not_acted_on() -> None:
    for intent in Intent:
        guessed = Heard(Reading(intent, 0.49, False), NOTHING)
        assert names(say("a", guessed)) == ["silent"]


def test_asking_for_a_person_wants_one() -> None:
    assert say("转人工", heard(Intent.HUMAN_AGENT)) == Outcome(person=Join(Reason.WORDS))
    assert tap("person") == Outcome(person=Join(Reason.BUTTON))
    assert tap("queue:anyway") == Outcome(person=Join(Reason.BUTTON, anyway=True))
    assert tap("queue:leave") == tap("queue:callback") == Outcome(person=Leave())


@pytest.mark.parametrize(
    "intent",
    [Intent.COMPLAINT, Intent.FAULT_REPORT, Intent.OUTAGE_STATUS, Intent.TICKET_STATUS, Intent.SATISFACTION],
)
def test_what_the_desk_cannot_do_yet_can_be_left_for_staff(intent: Intent) -> None:
    outcome = say("…", heard(intent, found(Decision.CHOICES, "f04")))
    assert names(outcome) == [f"about_{intent}"]
    assert ids(outcome) == [f"keep:{LINE}", "message", "person", "ask:f04", "menu"]
    assert "ask:f04" not in ids(say("…", heard(intent, found(Decision.ABSTAIN, "f04"))))


@pytest.mark.parametrize(("flow", "name"), [({}, "nothing_to_cancel"), ({"name": "checklist"}, "cancelled")])
def test_cancelling_says_whether_there_was_anything_to_cancel(flow: dict[str, Any], name: str) -> None:
    assert names(say("算了", heard(Intent.CANCEL), flow=flow)) == [name]
    assert names(say("/cancel", flow=flow)) == [name]
    assert names(tap("cancel", flow=flow)) == [name]
    assert say("/cancel", flow=flow).flow == {}


# -- commands and buttons ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/start", "greeting"),
        ("/start deep-link", "greeting"),
        ("/help", "help"),
        ("/MENU", "menu"),
        ("/menu@greenline_bot", "menu"),
        ("/lang", "choose_language"),
        ("/lang klingon", "choose_language"),
        ("/lang en", "language_set"),
        ("/lang 中文", "language_set"),
        ("/what", "unknown_command"),
        ("/", "unknown_command"),
        ("/ help", "help"),
    ],
)
def test_commands(text: str, name: str) -> None:
    assert names(say(text)) == [name]


def test_language_is_fixed_by_command_and_by_button() -> None:
    assert say("/lang English").language == "en"
    assert tap("lang:zh_CN").language == "zh_CN"
    assert say("/lang").language is None


def test_looking_up_languages_or_a_wrong_command_keeps_what_was_begun() -> None:
    flow = {"name": "message", "about": "person"}
    assert say("/lang", flow=flow).flow == flow
    assert say("/what", flow=flow).flow == flow


def test_an_unknown_command_is_quoted_at_a_bearable_length() -> None:
    [reply] = say("/" + "x" * 500).replies
    assert len(reply.facts["command"]) == 40


@pytest.mark.parametrize(
    "choice",
    [
        "",
        "?",
        "bogus",
        "ask",
        "ask:",
        "ask:g99",
        "topics",
        "topics:none",
        "lang:",
        "lang:fr",
        "keep",
        "keep:9",
        "a" * 200,
    ],
)
def test_unknown_and_stale_buttons_get_the_menu(choice: str) -> None:
    outcome = tap(choice)
    assert names(outcome) == ["stale_choice"] and "person" in ids(outcome)


def test_buttons_lead_on() -> None:
    assert names(tap("menu")) == ["menu"]
    assert ids(tap("topics:apply")) == ["ask:g10", "ask:g11", "menu"]
    assert names(tap("ask:g10")) == ["answer"]
    assert tap("message").flow == {"name": "message", "about": "message"}
    assert tap("more:3").flow == {"name": "message", "about": "message"}


def test_the_language_button_names_the_other_language() -> None:
    assert "lang:en" in ids(tap("menu")) and "lang:zh_CN" in ids(tap("menu", language="en"))


def test_keeping_leaves_exactly_the_message_above_the_button() -> None:
    outcome = tap("keep:3", kept=(3, False))
    assert outcome.effects == (Left(3, "message"),) and outcome.replies[0].facts == {"number": "LY3"}


def test_keeping_twice_leaves_it_once() -> None:
    outcome = tap("keep:3", kept=(3, True))
    assert outcome.effects == () and outcome.replies[0].facts == {"number": "LY3"}


# -- danger -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flow",
    [{}, {"name": "message", "about": "person"}, {"name": "checklist"}, {"name": "checklist", "at": "factory:"}],
)
def test_danger_comes_first_even_in_the_middle_of_something(flow: dict[str, Any]) -> None:
    outcome = say("有人触电了", heard(Intent.FAULT_REPORT, danger=True), flow=flow)
    assert names(outcome) == ["danger"]
    assert outcome.effects == (Alarm(LINE), Left(LINE, "danger"))
    assert outcome.flow == {"name": "message", "about": "danger"}


def test_danger_under_a_picture_or_behind_a_wrong_command_is_heard() -> None:
    alarmed = heard(Intent.FAULT_REPORT, danger=True)
    assert names(say("电线掉下来了", alarmed, files=(File("a.jpg", "image/jpeg", 1),))) == ["danger"]
    assert names(say("/report 电线掉下来了", alarmed)) == ["danger"]


def test_an_answer_to_the_question_just_asked_is_no_alarm() -> None:
    outcome = say("没有低压配电系统图", heard(danger=True), flow={"name": "checklist", "at": "factory:"})
    assert names(outcome) == ["answer", "checklist_documents"] and outcome.effects == ()


def test_details_of_a_danger_alarm_again_without_repeating_the_advice() -> None:
    flow = {"name": "message", "about": "danger"}
    outcome = say("变压器还在冒火", heard(danger=True), flow=flow)
    assert names(outcome) == ["message_left"] and outcome.flow == {}
    assert outcome.effects == (Alarm(LINE), Left(LINE, "danger"))


def test_what_follows_a_danger_is_left_with_it() -> None:
    outcome = say("城南路3号", heard(), flow={"name": "message", "about": "danger"})
    assert outcome.effects == (Left(LINE, "danger"),) and outcome.flow == {}


# -- waiting for a person ---------------------------------------------------------------------------------------------


def waits(text: str, understood: Heard | None = None, /, **more: Any) -> Outcome:
    return dialogue.waiting(scene(**more), Inbound(Channel.WEB, "1", "a", text=text), understood or heard())


def test_what_somebody_who_waits_writes_is_for_the_person() -> None:
    assert waits("我们厂的变压器要增容") == Outcome()
    assert waits("我要投诉", heard(Intent.COMPLAINT)) == Outcome()
    assert waits("低压居民要多久?", heard(finding=found(Decision.CHOICES, "g10", "g11"))) == Outcome()


def test_a_sure_answer_of_the_guide_is_given_while_waiting() -> None:
    assert names(waits("双电源多久", heard(finding=found(Decision.ANSWER, "g11")))) == ["answer"]


@pytest.mark.parametrize("text", ["我排到第几位了", "还要等多久", "How long is the wait?", "what is my position"])
def test_somebody_who_waits_can_ask_where_they_stand(text: str) -> None:
    assert waits(text).asks_where


def test_asking_for_a_person_while_waiting_for_one_tells_the_place() -> None:
    again = dialogue.waiting(scene(), Inbound(Channel.WEB, "1", "a", choice="person"), heard(Intent.SMALLTALK, None))
    assert again == Outcome(asks_where=True)


def test_somebody_who_waits_can_leave_in_words_and_by_command() -> None:
    assert waits("算了", heard(Intent.CANCEL)).person == Leave()
    assert waits("/cancel").person == Leave()
    assert waits("请帮我们取消上个月提交的那份增容申请", heard(Intent.CANCEL)).person is None


def test_danger_while_waiting_alarms_and_advises() -> None:
    outcome = waits("有人触电了", heard(Intent.FAULT_REPORT, danger=True))
    assert names(outcome) == ["danger"] and Alarm(LINE) in outcome.effects
    assert outcome.flow == {} and outcome.person is None


# -- messages and files -----------------------------------------------------------------------------------------------


def test_words_for_a_person_are_left_and_numbered() -> None:
    outcome = say("我是李工", flow={"name": "message", "about": "person"})
    assert outcome.effects == (Left(LINE, "person"),)
    assert outcome.replies[0].facts == {"number": f"LY{LINE}"} and outcome.flow == {}


def test_a_message_can_be_called_off_in_a_word_but_not_by_a_sentence() -> None:
    flow = {"name": "message", "about": "person"}
    assert names(say("算了", heard(Intent.CANCEL), flow=flow)) == ["cancelled"]
    sentence = "请帮我们取消上个月提交的那份增容申请"
    assert say(sentence, heard(Intent.CANCEL), flow=flow).effects == (Left(LINE, "person"),)


@pytest.mark.parametrize(
    "extra", [{"files": (File("a.pdf", "application/pdf", 1),)}, {"location": Location(31.0, 121.0)}]
)
def test_a_file_or_a_place_can_be_part_of_a_message(extra: dict[str, Any]) -> None:
    silent = Heard(Reading(Intent.SMALLTALK, 1.0, False), None)
    assert say("", silent, flow={"name": "message", "about": "person"}, **extra).effects == (Left(LINE, "person"),)


def test_a_file_or_a_place_alone_is_acknowledged_and_can_be_left() -> None:
    silent = Heard(Reading(Intent.SMALLTALK, 1.0, False), None)
    two = (File("a.pdf", "application/pdf", 1), File("b.pdf", "application/pdf", 1))
    outcome = say("", silent, files=two)
    assert names(outcome) == ["file_received"] and outcome.replies[0].facts == {"count": 2}
    assert ids(outcome) == [f"keep:{LINE}", "menu"]
    assert names(say("", silent, location=Location(31.0, 121.0))) == ["location_received"]


def test_a_question_under_a_picture_is_answered_too() -> None:
    asked = heard(finding=found(Decision.ANSWER, "g11"))
    assert names(say("双电源多久", asked, files=(File("a.jpg", "image/jpeg", 1),))) == ["file_received", "answer"]


def test_an_album_is_one_answer_or_part_of_a_message() -> None:
    outcome = dialogue.album(scene(), count=3)
    assert names(outcome) == ["album_received"] and outcome.replies[0].facts == {"count": 3}
    assert dialogue.album(scene(flow={"name": "message", "about": "person"}), count=3).effects == (
        Left(LINE, "person"),
    )


# -- checklists (大客户用电申请服务指南 第四条) --------------------------------------------------------------------------

RESIDENTIAL = [
    "各栋楼的层数和单元数",
    "各装表点的位置",
    "每个装表点的住宅户数",
    "商铺面积及其他必要参数",
    "最终的小区规划总平面图（电子版）",
    "建筑单体图（必要时）",
]
LISTS = {
    "residential:n": RESIDENTIAL,
    "residential:y": [*RESIDENTIAL, "人防和小高层的低压配电系统图"],
    "factory:y": ["厂区规划平面图", "低压配电系统图"],
    "factory:n": ["厂区规划平面图", "各出线回路的数量，以及每回路的容量和功率因数"],
    "extension": ["现有电房的配电系统图", "现有电房的平面图"],
    "office": [
        "明确的供电方案",
        "该楼的低压配电系统图",
        "是否需要双电源的说明",
        "电房位置图（电子版电气平面布置图）",
    ],
}


@pytest.mark.parametrize("at", LISTS)
def test_every_project_gets_exactly_its_documents(at: str) -> None:
    outcome = tap(f"check:{at}")
    assert documents(outcome) == LISTS[at] and outcome.flow == {}


def test_the_lists_cover_every_type_and_every_answer() -> None:
    every = set()
    for project in checklists.load().types.values():
        marks: Iterable[str] = [""]
        for _ in project.conditions:
            marks = [mark + answer for mark in marks for answer in "ny"]
        every |= {f"{project.key}:{mark}".rstrip(":") for mark in marks}
    assert every == LISTS.keys()


def test_a_list_in_english_has_the_same_length_and_no_chinese() -> None:
    for at, chinese in LISTS.items():
        english = documents(tap(f"check:{at}", language="en"))
        assert len(english) == len(chinese) and all(text.isascii() for text in english)


def test_a_list_says_where_and_with_what_to_apply_and_cites_all_of_it() -> None:
    applying, listed = tap("check:residential:y").replies
    assert "文汇南路97号" in applying.facts["answer"]
    assert all(item in applying.facts["answer"] for item in ("事由", "地址", "联系人", "联系电话"))
    assert [source.entry for source in applying.sources] == ["g02", "g04"]
    assert [source.entry for source in listed.sources] == ["g16"]


def test_a_list_stands_alone_where_the_guide_no_longer_has_those_entries() -> None:
    assert names(tap("check:office", entry=lambda key: None)) == ["checklist_documents"]


@pytest.mark.parametrize("choice", ["check", "check:", "check:none", "check:factory:yy", "check:factory:x"])
def test_without_a_known_type_the_types_are_offered(choice: str) -> None:
    outcome = tap(choice)
    assert names(outcome) == ["checklist_type"] and outcome.flow == {"name": "checklist"}
    assert ids(outcome) == ["check:residential", "check:factory", "check:extension", "check:office", "cancel"]


def test_a_condition_is_asked_and_can_be_left_again() -> None:
    outcome = tap("check:factory")
    assert names(outcome) == ["checklist_question"] and outcome.flow == {"name": "checklist", "at": "factory:"}
    assert ids(outcome) == ["check:factory:y", "check:factory:n", "check"]


YES = [
    "有",
    "有，",
    "是！",
    "是的。",
    "对",
    "嗯嗯",
    "有的",
    "都有",
    "有啊",
    "包括",
    "yes",
    "Yes!",
    "YES，we do",
    "ｙｅｓ",
    "有系统图",
]
NO = [
    "没有",
    "没有。",
    "没",
    "无",
    "不是",
    "没有的",
    "暂时没有",
    "还没有",
    "没有系统图",
    "no",
    "No.",
    "nope",
    "we don't have one",
]
NEITHER = ["不知道", "有没有都行", "有人触电了", "没有电了怎么办", "是什么意思", "also", "yes no maybe", "", "？"]


@pytest.mark.parametrize("text", YES)
def test_yes_in_free_words(text: str) -> None:
    assert documents(say(text, flow={"name": "checklist", "at": "factory:"})) == LISTS["factory:y"]


@pytest.mark.parametrize("text", NO)
def test_no_in_free_words(text: str) -> None:
    assert documents(say(text, flow={"name": "checklist", "at": "factory:"})) == LISTS["factory:n"]


@pytest.mark.parametrize("text", NEITHER)
def test_other_words_are_neither_yes_nor_no(text: str) -> None:
    assert "checklist_documents" not in names(say(text, flow={"name": "checklist", "at": "factory:"}))


def test_one_of_two_is_yes_where_either_counts() -> None:
    flow = {"name": "checklist", "at": "residential:"}
    assert documents(say("没有人防，有小高层", flow=flow)) == LISTS["residential:y"]
    assert documents(say("人防和小高层都没有", flow=flow)) == LISTS["residential:n"]


@pytest.mark.parametrize("text", ["返回", "上一步", "重选。", "back"])
def test_going_back_in_words(text: str) -> None:
    assert names(say(text, flow={"name": "checklist", "at": "factory:"})) == ["checklist_type"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("小区", "checklist_question"),
        ("我们是工厂", "checklist_question"),
        ("改造增容", "checklist_documents"),
        ("小高层", "checklist_documents"),
        ("It's a factory.", "checklist_question"),
        ("写字楼", "checklist_documents"),
        ("Office building", "checklist_documents"),
    ],
)
def test_a_type_can_be_named_in_words(text: str, name: str) -> None:
    assert names(say(text, flow={"name": "checklist"}))[-1] == name


def test_a_question_inside_the_checklist_is_answered_as_a_question() -> None:
    asked = heard(finding=found(Decision.ANSWER, "g11"))
    assert names(say("小区停电多久", asked, flow={"name": "checklist"})) == ["answer"]
    for flow in ({"name": "checklist"}, {"name": "checklist", "at": "factory:"}):
        assert names(say("双电源的供电方案多久能出来?", asked, flow=flow)) == ["answer"]


def test_a_question_for_documents_leads_to_the_list_that_it_describes() -> None:
    unsure = heard(finding=found(Decision.ABSTAIN, "g17", "g16"))
    assert documents(say("小高层小区报装要带什么?", unsure)) == LISTS["residential:y"]
    assert documents(say("小区没有人防和小高层，要交什么资料", unsure)) == LISTS["residential:n"]
    assert names(say("小区报装要什么资料", unsure)) == ["checklist_question"]
    sure = heard(finding=found(Decision.ANSWER, "g18"))
    assert documents(say("工厂电房要交什么?没有低压配电系统图", sure)) == LISTS["factory:n"]
    assert documents(say("What does a factory need? We have a system diagram", sure)) == LISTS["factory:y"]
    assert names(say("工厂要交什么资料", sure)) == ["answer"]


def test_a_question_for_something_else_of_the_same_project_does_not() -> None:
    assert names(say("小区停电多久", heard(finding=found(Decision.ABSTAIN, "g16")))) == ["silent"]
    assert names(say("小区停车要什么手续", heard(finding=found(Decision.ABSTAIN, "m01")))) == ["silent"]
    assert names(say("工厂和小区要什么资料", heard(finding=found(Decision.ABSTAIN, "g16")))) == ["silent"]


def test_an_entry_says_what_it_says_in_the_language_it_has() -> None:
    chinese = Entry(key="x", title="标题", answer="答", document="文件")
    assert dialogue.source(chinese, "en").title == "标题"
