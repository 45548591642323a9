"""Transcripts that run: each file beside this one is a conversation as a customer has it.

`> words` the customer writes        `< words` stand in the reply            `! words` stand in no reply
`[label]` the customer taps          `* words` cited as document and article `? label` is offered as a button
`# words` explain                    `+ name` an event was written
"""

from pathlib import Path

import pytest

from bot.assistant import Assistant
from desk import events
from desk.store import Store
from tests.bot.talk import Customer

FOLDER = Path(__file__).parent
STORIES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
async def test_a_story_goes_as_written(assistant: Assistant, store: Store, story: Path) -> None:
    customer, said, checks = Customer(assistant), "", 0
    for number, line in enumerate(story.read_text(encoding="utf-8").splitlines(), 1):
        mark, words = line[:1], line[2:].strip()
        place = f"{story.name}:{number}: {line}\n--\n{said}\n{customer.buttons}"
        match mark:
            case ">":
                said = await customer.says(words)
            case "[":
                said = await customer.taps(line.strip("[] "))
            case "<":
                assert words in said, place
            case "!":
                assert words not in said, place
            case "*":
                assert words in customer.sources, f"{place}\n{customer.sources}"
            case "?":
                assert words in customer.buttons, place
            case "+":
                async with store.transaction() as db:
                    assert words in [event.kind for event in await events.read(db)], place
            case "#" | "":
                continue
            case _:
                raise AssertionError(f"unknown mark: {place}")
        checks += mark in "<!*?+"
    assert checks, "a story that expects nothing cannot fail"


def test_there_are_stories_in_both_languages() -> None:
    texts = [story.read_text(encoding="utf-8") for story in STORIES]
    english = [text for text in texts if text.split("> ", 1)[1].splitlines()[0].isascii()]
    assert len(english) >= 4 and len(texts) - len(english) >= 8
