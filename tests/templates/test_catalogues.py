"""The catalogues say all that the templates say, and the Chinese is written as Chinese."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import pytest
from jinja2 import nodes

import templates
from tests.templates import extract

OTHERS: Final = templates.LANGUAGES[1:]
HAN: Final = re.compile(r"[\u3400-\u9fff]+")
SQUEEZED: Final = re.compile(r"[\u3400-\u9fff”》][,;:?!()]|[,;:?!()][\u3400-\u9fff“《]|\.{3}")
PLACES: Final = re.compile(r"%(?:\(\w+\))?[a-z%]")
OWN_NAMES: Final = {"中文", "中", "切换到中文"}  # a language and the switch to it are named in that language


def forms(words: str | Sequence[str] | None) -> list[str]:
    """Singular and plural, where there is one."""
    return [words] if isinstance(words, str) else list(words or [])


def messages() -> Iterator[tuple[str, list[str]]]:
    for message in extract.used():
        if message.id:
            yield from ((words, [file for file, _ in message.locations]) for words in forms(message.id))


@pytest.mark.parametrize("language", OTHERS)
def test_catalogue_holds_exactly_the_messages_of_the_templates(language: str) -> None:
    catalogue, used = extract.kept(language), extract.used()
    asked, kept = ({message.id for message in c if message.id} for c in (used, catalogue))
    assert kept - asked == set(), "no longer used; run python -m tests.templates.extract"
    assert asked - kept == set(), "missing; run python -m tests.templates.extract"
    assert not catalogue.obsolete


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_is_translated_and_none_is_a_guess(language: str) -> None:
    for message in extract.kept(language):
        assert all(words.strip() for words in forms(message.string) or [""]), message.id
        assert not message.fuzzy, message.id


@pytest.mark.parametrize("language", OTHERS)
def test_translations_have_the_same_places_for_facts(language: str) -> None:
    for message in extract.kept(language):
        if message.id:
            wanted, given = (
                {tuple(sorted(PLACES.findall(words))) for words in forms(side)} for side in (message.id, message.string)
            )
            assert given == wanted, message.id


@pytest.mark.parametrize("language", OTHERS)
def test_translations_keep_lines_and_edges(language: str) -> None:
    for message in extract.kept(language):
        if message.id:
            lines = {words.count("\n") for words in forms(message.id)}
            assert {words.count("\n") for words in forms(message.string)} == lines, message.id
            assert all(words == words.strip() for words in forms(message.string)), message.id


def test_chinese_punctuation_is_not_squeezed() -> None:
    assert [words for words, _ in messages() if SQUEEZED.search(words)] == []


def test_what_customers_read_in_the_chat_invents_no_number() -> None:
    for words, files in messages():
        if any(file.startswith("chat/") and file not in ("chat/_setup.txt", "chat/_ready.txt") for file in files):
            assert not re.search(r"\d", words), words


@pytest.mark.parametrize("html", [False, True])
def test_no_words_stand_outside_the_messages(html: bool) -> None:
    env = templates.environment(templates.LANGUAGES[0], html=html)
    assert env.loader is not None
    for name in env.list_templates():
        tree = env.parse(env.loader.get_source(env, name)[0])
        translated = {
            id(argument)
            for call in tree.find_all(nodes.Call)
            if isinstance(call.node, nodes.Name) and call.node.name in ("_", "gettext", "ngettext")
            for argument in call.args
        }
        loose = [node.data for node in tree.find_all(nodes.TemplateData)]
        loose += [str(node.value) for node in tree.find_all(nodes.Const) if id(node) not in translated]
        left = {words for text in loose for words in HAN.findall(text)} - OWN_NAMES
        assert left == set(), name
