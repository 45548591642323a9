"""Everything that can be said is rendered from sample facts in every language."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from jinja2 import UndefinedError

import templates
from api.chat import MessageView
from desk.errors import DeskError
from knowledge.intents import Intent
from templates import LANGUAGES, Choice, Reply, Source
from tests.templates import samples, source

CHINESE: Final = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")
NEVER_ENGLISH: Final = re.compile(
    r"\b(users?|clients?|FAQ|operators?|campaigns?|bookings?|CSAT|threads?|notifications?|profiles?|chat_id)\b", re.I
)
NEVER_CHINESE: Final = re.compile("用户|你")
FROM_FACTS: Final = {"answer", "error"}  # texts that may consist of facts alone
MACROS: Final = re.compile(r"{% macro (\w+)\(\)")


def chat_templates() -> set[str]:
    return {name.removesuffix(".txt") for name in templates.environment("en", html=False).list_templates()}


def macros(name: str) -> list[str]:
    env = templates.environment("en", html=False)
    assert env.loader is not None
    return MACROS.findall(env.loader.get_source(env, f"{name}.txt")[0])


def kinds(base: type[DeskError] = DeskError) -> Iterator[type[DeskError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def check(text: str, language: str) -> None:
    """It says something, in one language, in the words of the glossary."""
    assert text.strip() and "{{" not in text and "{%" not in text and "%(" not in text
    if language == "en":
        assert not CHINESE.search(text), text
        assert not NEVER_ENGLISH.search(text), text
    else:
        assert not NEVER_CHINESE.search(text), text


# -- chat -------------------------------------------------------------------------------------------------------------


def test_every_chat_template_has_sample_facts() -> None:
    assert chat_templates() == {*samples.TEXTS, "_labels", "_errors", "_setup"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", samples.TEXTS)
def test_every_chat_text_is_rendered_in_one_language(name: str, language: str) -> None:
    for facts in samples.TEXTS[name]:
        text = templates.render_text(name, language, **facts)
        check(text, language)
        if language != "en" and name not in FROM_FACTS:
            assert CHINESE.search(text)


@pytest.mark.parametrize("name", [name for name, facts in samples.TEXTS.items() if facts[0] and name != "_source"])
def test_a_text_shows_its_facts_and_refuses_to_be_rendered_without_them(name: str) -> None:
    hidden = {"cut", "about", "agents", "reason"} | ({"count"} if name == "location_received" else set())
    for facts in samples.TEXTS[name][-1:]:
        text = templates.render_text(name, "en", **facts)
        for key in facts.keys() - hidden:
            values = facts[key] if isinstance(facts[key], list) else [facts[key]]
            # yes or no decides what is said, and is not said itself
            assert all(str(value) in text for value in values if not isinstance(value, bool | dict))
    if name != "location_received":
        with pytest.raises(UndefinedError):
            templates.render_text(name, "en")


def test_the_greeting_says_what_the_assistant_can_do_and_what_it_cannot() -> None:
    chinese, english = (templates.render_text("greeting", language) for language in LANGUAGES)
    assert all(
        words in chinese for words in ("智能客服", "用电申请", "停电通知", "服务指南", "指南里没有的", "工作人员")
    )
    assert all(
        words in english for words in ("assistant", "apply", "outage", "service guide", "does not cover", "staff")
    )


def test_help_and_the_unknown_command_name_every_command() -> None:
    for language in LANGUAGES:
        text = templates.render_text("help", language) + templates.render_text(
            "unknown_command", language, command="/x"
        )
        for name in macros("_labels"):
            if name.startswith("command_"):
                assert f"/{name.removeprefix('command_')}" in text


def test_a_source_reads_as_a_citation() -> None:
    facts = samples.SOURCE
    assert templates.render_text("_source", "en", **facts) == "Source: Guide, Article 4"
    assert templates.render_text("_source", "en", **facts | {"article": ""}) == "Source: Guide"
    chinese = facts | {"document": "大客户用电申请服务指南", "article": "第四条"}
    assert templates.render_text("_source", "zh_CN", **chinese) == "依据《大客户用电申请服务指南》第四条"


def test_a_reply_keeps_its_name_and_gains_its_words() -> None:
    reply = Reply(
        "message_left",
        {"number": "LY12"},
        (Choice("menu", "menu", {}), Choice("ask:g04", "Dual supply")),
        (Source("g04", 3, "Dual supply", "Guide", "Article 4"),),
    )
    said = templates.render_reply(reply, "en")
    assert said["name"] == "message_left" and "LY12" in said["text"]
    assert said["choices"] == [{"id": "menu", "label": "Main menu"}, {"id": "ask:g04", "label": "Dual supply"}]
    assert said["sources"] == [
        {"entry": "g04", "version": 3, "title": "Dual supply", "document": "Guide", "article": "Article 4"}
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", macros("_labels"))
def test_every_label_is_one_short_line(name: str, language: str) -> None:
    text = templates.label(name, language)
    assert text and "\n" not in text and len(text) <= 40
    if (name, text) not in {("chinese", "中文"), ("other_language", "中文")}:
        check(text, language)


def test_the_language_switch_is_written_in_the_other_language() -> None:
    assert [templates.label("other_language", language) for language in LANGUAGES] == ["English", "中文"]


def test_the_program_uses_every_text_and_label() -> None:
    said = source.strings() | {f"about_{intent}" for intent in Intent}
    assert chat_templates() - said == {"_labels", "_errors", "_setup"}
    beginnings = tuple(head for head in source.beginnings() if head.endswith("_"))
    assert [name for name in macros("_labels") if name not in said and not name.startswith(beginnings)] == []


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", tuple(kinds()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_title_and_advice_of_its_own(kind: type[DeskError], language: str) -> None:
    title, advice = templates.error_words([kind.__name__], language, **samples.ERRORS.get(kind.__name__, {}))
    check(title, language)
    assert advice
    if kind.__name__ != "BadInput":  # lists what the web framework says
        check(advice, language)


def test_no_error_words_and_no_samples_are_left_over() -> None:
    names = {kind.__name__ for kind in kinds()}
    assert set(macros("_errors")) == names
    assert set(samples.ERRORS) <= names


def test_errors_are_raised_with_the_facts_that_their_words_need() -> None:
    for kind in kinds():
        for call in source.calls(kind.__name__):
            given = {keyword.arg for keyword in call.keywords}
            assert given >= samples.ERRORS.get(kind.__name__, {}).keys(), kind


def test_an_error_without_words_falls_back_to_its_kind_and_then_complains() -> None:
    assert templates.error_words(["Brandnew", "NotFound", "DeskError"], "en")[0] == "Not found"
    with pytest.raises(KeyError, match="Brandnew"):
        templates.error_words(["Brandnew"], "en")


def test_a_fact_may_carry_any_name() -> None:
    for language in LANGUAGES:
        text = templates.render_text("cancelled", language, name="x", language="y")
        assert text == templates.render_text("cancelled", language)


@pytest.mark.parametrize(("reason", "facts"), list(source.reasons().items()), ids=list(source.reasons()))
def test_every_reason_not_to_start_is_said_in_chinese_and_english(reason: str, facts: set[str]) -> None:
    chinese, english = templates.render_setup_error(reason, {name: f"<{name}>" for name in facts}).split("\n")
    assert CHINESE.search(chinese)
    check(english, "en")
    shown = facts - {"problem"} if reason == "port_taken" else facts
    assert all(f"<{name}>" in said for name in shown for said in (chinese, english))


def test_a_lost_database_is_said_without_empty_brackets() -> None:
    assert "（）" not in templates.render_setup_error("database_unreachable", {"url": "", "problem": ""})
    assert "()" not in templates.render_setup_error("database_unreachable", {"url": "", "problem": ""})


def test_no_reason_not_to_start_is_left_over() -> None:
    assert set(macros("_setup")) == source.reasons().keys()


# -- pages ------------------------------------------------------------------------------------------------------------


def static(path: str) -> str:
    return f"/static/{path}"


def rendered(name: str, language: str, facts: samples.Facts) -> BeautifulSoup:
    return BeautifulSoup(templates.page(name, language, static=static, **facts), "html.parser")


def without_switch(soup: BeautifulSoup) -> str:
    """The page but for the switch to the other language, with the words for its script readable."""
    for switch in soup.select(".tongue"):
        switch.decompose()
    words = soup.select_one("#words")
    if words:
        said = json.loads(words.get_text())
        assert said["spoken"].pop("lang:zh_CN") == "中文"
        words.string = json.dumps(said, ensure_ascii=False)
    return str(soup)


def test_every_page_has_sample_facts() -> None:
    names = {name.removesuffix(".html") for name in templates.environment("en", html=True).list_templates()}
    shared = {name for name in names if name.rpartition("/")[2].startswith("_")}
    assert names - shared == {*samples.PAGES, "base"}


def test_sample_lines_have_the_shape_of_the_api() -> None:
    assert [MessageView.model_validate(line).model_dump(mode="json") for line in samples.LINES] == samples.LINES


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", samples.PAGES)
def test_every_page_is_rendered_in_one_language(name: str, language: str) -> None:
    for facts in samples.PAGES[name]:
        soup = rendered(name, language, facts)
        html, title = soup.html, soup.title
        assert html is not None and html["lang"] == ("en" if language == "en" else "zh-CN")
        assert title is not None
        check(title.get_text(), language)
        said = without_switch(soup)
        if language == "en":
            assert not CHINESE.search(said), CHINESE.search(said)
        check(soup.get_text(), language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_people_write_is_text_on_a_page(language: str) -> None:
    chat = templates.page("chat", language, static=static, **samples.PAGES["chat"][1])
    assert "<script>alert" not in chat and "&lt;script&gt;alert(1)" in chat
    error = templates.page("error", language, static=static, **samples.PAGES["error"][0])
    assert "<b>" not in error and "&lt;b&gt;Detail" in error
    hostile = samples.LINE | {"direction": "out", "by": "bot", "sources": [samples.SOURCE | {"document": "<i>"}]}
    assert "<i>》" not in templates.page("chat", language, static=static, session_lines=[hostile], embedded=False)


def test_a_page_without_its_facts_is_not_rendered() -> None:
    with pytest.raises(UndefinedError):
        templates.page("error", "en", static=static, status=404, title="Title")


def test_an_error_page_offers_another_try_only_where_it_may_help() -> None:
    missing, broken, staff = (rendered("error", "en", facts).get_text() for facts in samples.PAGES["error"])
    assert "Try again" not in missing and "Back to the chat" in missing
    assert "Try again" in broken and "Back to the chat" in broken
    assert "Try again" not in staff and "Back to the start" in staff


# -- times ------------------------------------------------------------------------------------------------------------


def test_a_moment_is_written_as_people_in_the_service_area_write_it() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    morning = datetime(2026, 3, 2, 1, 5, tzinfo=UTC)
    assert templates.when(morning, shanghai, "zh_CN") == "3月2日 09:05"
    assert templates.when(morning, shanghai, "en") == "2 Mar 09:05"
    midnight = datetime(2026, 12, 31, 16, 0, tzinfo=UTC)
    assert templates.when(midnight, shanghai, "zh_CN") == "1月1日 00:00"
    assert templates.when(midnight, shanghai, "en") == "1 Jan 00:00"
