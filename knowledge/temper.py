"""Whether a customer is angry: words that people use when they have had enough. A list, not a judgement."""

import re
from functools import cache
from importlib import resources
from re import Pattern

from knowledge import text as words


@cache
def _angry() -> Pattern[str]:
    listed = (resources.files("knowledge") / "anger.txt").read_text(encoding="utf-8").splitlines()
    phrases = [line.strip() for line in listed if line.strip() and not line.startswith("#")]
    # Latin words as whole words only
    return re.compile("|".join(rf"\b{re.escape(p)}\b" if p.isascii() else re.escape(p) for p in phrases), re.I)


def is_angry(text: str) -> bool:
    """Whether the message holds one of the phrases of `anger.txt`."""
    return bool(_angry().search(words.clean(text)))
