"""Transcripts that run: each file beside this one is a conversation as a customer has it.

`> words` the customer writes        `< words` stand in the reply            `! words` stand in no reply
`[label]` the customer taps          `* words` cited as document and article `? label` is offered as a button
`# words` explain                    `+ name` an event was written
`@ online` an agent sits down        `@ takes` the agent takes the next customer
`@ writes words`, `@ closes`         what the agent does then, and what the customer reads of it
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from bot import handling
from desk.queue import Act
from desk.staff import Staff
from tests.bot.hall import Hall
from tests.bot.talk import Customer

FOLDER = Path(__file__).parent
STORIES = sorted(FOLDER.glob("*.txt"))


@dataclass
class Desk:
    """The agent of a story."""

    hall: Hall
    staff: Staff | None = None

    async def does(self, what: str, customer: Customer) -> str:
        """One thing that an agent does; what the customer reads of it."""
        verb, _, words = what.partition(" ")
        if verb == "online":
            self.staff = await self.hall.agent()
            return ""
        assert self.staff is not None
        if verb == "takes":
            assert await self.hall.claims(self.staff)
        elif verb == "writes":
            talk = (await self.hall.talk(customer)).id or 0
            await self.hall.writes(self.staff, talk, words, words)
            self.hall.clock.forward(seconds=6)
            await self.hall.usher.attend()
        else:
            assert verb == "closes", what
            async with self.hall.store.transaction() as db:
                talk = (await self.hall.talk(customer)).id or 0
                await handling.end(db, talk, self.staff, Act.CLOSE, at=self.hall.clock.now())
        customer.last = (await self.hall.heard(customer))[-1:]
        return customer.last[0].text


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
async def test_a_story_goes_as_written(hall: Hall, story: Path) -> None:
    customer, desk, said, checks = Customer(hall.assistant), Desk(hall), "", 0
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
            case "@":
                said = await desk.does(words, customer)
            case "+":
                assert await hall.happened(words), place
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
