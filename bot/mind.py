"""What the assistant knows: the guide that follows the database, and the intent reader."""

import asyncio
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from bot.dialogue import Heard
from desk.clock import Clock
from desk.errors import GuideLoading
from desk.settings import Settings
from desk.store import Bell, Store
from knowledge import encoders, entries, learning
from knowledge import text as words
from knowledge.encoders import Encoder, Remembering
from knowledge.intents import Reader, Reading
from knowledge.learning import Learned
from knowledge.search import Decision, Finding, Guide

RETRY: Final = 5.0  # seconds until a reload that failed is tried again
PIECE: Final = 60  # characters of a sentence that are read at a time for danger
PIECES: Final = 100  # pieces of a message at most, about a second
_SENTENCE: Final = re.compile(r"[^。！？!?\n]+[。！？!?]?")
log = logging.getLogger("greenline.mind")


class Mind:
    """Loads encoders and the guide off the event loop; a changed guide is indexed beside the old one and swapped in."""

    def __init__(self, store: Store, clock: Clock, settings: Settings) -> None:
        self._store, self._clock, self._settings = store, clock, settings
        self._guide: Guide | None = None
        self._reader: Reader | None = None
        self._known: tuple[list[tuple[str, int]], Learned] | None = None
        self.loaded = asyncio.Event()  # set once questions can be answered
        self._loading = asyncio.Lock()

    @property
    def guide(self) -> Guide:
        """The guide as it is now. Raises GuideLoading before the first load."""
        if self._guide is None:
            raise GuideLoading()
        return self._guide

    @property
    def ready(self) -> bool:
        """Whether questions can be answered."""
        return self._guide is not None and self._reader is not None

    async def load(self) -> None:
        """Read the published entries and build an index if they changed."""
        today = self._clock.now().astimezone(ZoneInfo(self._settings.timezone)).date()
        # one at a time: what was read first must not be swapped in last
        async with self._loading:
            async with self._store.transaction() as db:
                published = await entries.published(db, on=today)
                learned = await learning.learned(db)
            known = ([(entry.key, entry.version) for entry in published], learned)
            if known == self._known:
                return
            self._guide, self._reader = await asyncio.to_thread(self._build, published, learned)
            self._known = known
        self.loaded.set()
        log.info("guide indexed: %d entries, %s search", len(published), self.guide.mode)

    def _build(self, published: list[entries.Entry], learned: Learned) -> tuple[Guide, Reader]:
        lite, full, second = self._encoders()
        guide = Guide(published, lite, full, learned=learned.asked, negatives=learned.negatives)
        for encoder in (lite, full):
            try:
                if encoder:
                    encoder.save()
            except OSError as error:
                log.warning("vectors not kept, they will be computed again: %s", error)
        return guide, self._reader or Reader(encoders.lite(), second)

    def _encoders(self) -> tuple[Remembering, Remembering | None, Encoder | None]:
        """Lite and the second encoder with the vectors they remember, and the second one as it is."""
        choice, key = self._settings.encoder, self._settings.encoder_key
        second = encoders.second(
            choice, model=self._settings.encoder_model, key=key.get_secret_value() if key else None
        )
        cache: Path = self._settings.data_dir / "cache"
        lite = Remembering(encoders.lite(), cache)
        full = Remembering(second, cache) if second else None
        return lite, full, second

    def imagine(self, published: list[entries.Entry], learned: Learned) -> Guide:
        """A guide of other entries or decisions, which nobody is answered from. Takes seconds: off the event loop."""
        lite, full, _ = self._encoders()
        return Guide(published, lite, full, learned=learned.asked, negatives=learned.negatives)

    async def follow(self, bell: Bell) -> None:
        """Load, and again whenever an entry or a decision about questions is published anywhere, or a day begins on
        which other entries are valid."""
        async for _ in bell.rings(entries.TOPIC, patience=300):
            while not await self._reloaded():
                await asyncio.sleep(RETRY)

    async def _reloaded(self) -> bool:
        try:
            await self.load()
        except Exception:
            log.exception("guide not loaded, answering from the previous one if there is one")
            return False
        return True

    async def hear(self, text: str) -> Heard:
        """Read intent and danger, and search the guide."""
        guide, reader = self.guide, self._reader
        assert reader is not None
        return await asyncio.to_thread(self._hear, guide, reader, text)

    async def overhear(self, text: str) -> Heard:
        """Read intent and danger only: a person answers, and searches the guide when they want to."""
        reader = self._reader
        if reader is None:
            raise GuideLoading()
        return Heard(await asyncio.to_thread(self._read, reader, text), None)

    @staticmethod
    def _read(reader: Reader, text: str) -> Reading:
        reading = reader.read(text)
        if not reading.danger and any(reader.read(part).danger for part in _sentences(text)):
            reading = replace(reading, danger=True)
        return reading

    @staticmethod
    def _hear(guide: Guide, reader: Reader, text: str) -> Heard:
        reading = Mind._read(reader, text)
        if not words.bare(words.clean(text)):
            return Heard(reading, None)
        found = guide.find(text)
        if len(text) > words.LONGEST and found.decision is not Decision.ANSWER:
            # the question is mostly the last sentence, sometimes the first
            ends = [guide.find(sentence) for sentence in _ends(text)]
            found = next((other for other in ends if other.decision is Decision.ANSWER), found)
        return Heard(reading, found)

    async def find(self, question: str) -> Finding:
        """Search the guide alone."""
        return await asyncio.to_thread(self.guide.find, question)


def _sentences(text: str) -> list[str]:
    """What is read for danger piece by piece, for one sentence among many others sounds harmless; [] = only one."""
    pieces: list[str] = []
    for sentence in _SENTENCE.findall(text):
        pieces += [sentence[start : start + PIECE] for start in range(0, len(sentence), PIECE)]
    pieces = list(dict.fromkeys(piece for piece in pieces if piece.strip()))
    together = -(-len(pieces) // PIECES)
    if together > 1:
        pieces = ["".join(pieces[start : start + together]) for start in range(0, len(pieces), together)]
    return pieces if len(pieces) > 1 else []


def _ends(text: str) -> list[str]:
    """The last and the first sentence."""
    sentences = [part for part in _SENTENCE.findall(text) if len(part) >= 4]
    return [sentences[-1], sentences[0]] if sentences else []
