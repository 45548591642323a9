"""Tries a changed guide on the regression questions, beside the guide as it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from knowledge import text as words
from knowledge.evaluate import judge
from knowledge.learning import Learned, LearningChange, Outcome, key_of
from knowledge.search import Decision, Finding, Guide, training

EVERY: Final = 3  # of the shipped labelled questions one in so many is asked
LATEST: Final = 200  # learned questions are asked, those of the same entries and the rest in order
SHOWN: Final = 100  # questions whose answer changes are listed


@dataclass(frozen=True)
class Case:
    """A regression question and the entries that answer it; none = the guide must stay silent."""

    question: str
    right: frozenset[str]


def cases(learned: Learned, keys: set[str]) -> list[Case]:
    """The regression questions of a guide with these entries: a third of the shipped ones, and what people decided."""
    found: dict[str, Case] = {}
    for row in training("questions")[::EVERY]:
        right = frozenset(row.get("ids") or [row["id"]]) & keys
        if right:
            found[words.bare(words.clean(row["q"]))] = Case(row["q"], right)
    decided = [
        (question, frozenset({key})) for key, asked in learned.asked.items() for question in asked if key in keys
    ]
    decided += [(question, frozenset()) for question in learned.negatives]
    for question, right in decided[:LATEST]:
        found[words.bare(words.clean(question))] = Case(question, right)
    return list(found.values())


def with_change(learned: Learned, change: LearningChange) -> Learned:
    """What people have decided, with what this change decides."""
    new = {words.bare(words.clean(question)) for question in change.questions}

    def others(questions: Sequence[str]) -> list[str]:
        return [question for question in questions if words.bare(words.clean(question)) not in new]

    asked = {key: others(questions) for key, questions in learned.asked.items()}
    negatives = others(learned.negatives)
    if change.kind == Outcome.OUT_OF_SCOPE:
        return Learned(asked, (*negatives, *change.questions))
    asked[key_of(change)] = [*asked.get(key_of(change), []), *change.questions]
    return Learned(asked, tuple(negatives))


def compare(
    before: Guide, after: Guide, asked: Sequence[Case], change: LearningChange, *, step: Callable[[int], None]
) -> dict[str, Any]:
    """Ask every case of both guides, blind to the very same words, and the change's own questions plainly.

    Gives `questions`, `top1`, `handled` as [before, after] in percent; `worse`, `better` and `other` list cases whose
    answer changes; `own` says what becomes of the questions that are to be learned. `step` hears how many are done.
    """
    wanted = frozenset() if change.kind == Outcome.OUT_OF_SCOPE else frozenset({key_of(change)})
    own = []
    for question in change.questions:
        old, new = before.find(question), after.find(question)
        own.append(_line(Case(question, wanted), old, new))
    decided = {words.bare(words.clean(question)) for question in change.questions}
    lists: dict[str, list[dict[str, Any]]] = {"worse": [], "better": [], "other": []}
    marks: tuple[list[dict[str, bool]], list[dict[str, bool]]] = ([], [])
    for number, case in enumerate(asked, 1):
        if words.bare(words.clean(case.question)) not in decided:
            old, new = before.find(case.question, blind=True), after.find(case.question, blind=True)
            judged = [judge({"ids": list(case.right)}, finding) for finding in (old, new)]
            marks[0].append(judged[0])
            marks[1].append(judged[1])
            if _answer(old) != _answer(new):
                lists[_verdict(*judged)].append(_line(case, old, new))
        step(number)
    return {
        "questions": len(marks[0]),
        "top1": [_share([mark for mark in part if mark["answerable"]], "first") for part in marks],
        "handled": [_share(part, "handled") for part in marks],
        "own": own,
        **{name: rows[:SHOWN] for name, rows in lists.items()},
    }


def _answer(finding: Finding) -> tuple[str, ...]:
    """What a customer sees of a finding."""
    if finding.decision is Decision.ABSTAIN:
        return ()
    seen = 1 if finding.decision is Decision.ANSWER else 3
    return (finding.decision, *sorted(match.entry.key for match in finding.matches[:seen]))


def _verdict(old: Mapping[str, bool], new: Mapping[str, bool]) -> str:
    def worth(mark: Mapping[str, bool]) -> int:
        return 2 * mark["handled"] + (mark["handled"] and mark["answered"]) - mark["wrong"]

    return "worse" if worth(new) < worth(old) else "better" if worth(new) > worth(old) else "other"


def _line(case: Case, old: Finding, new: Finding) -> dict[str, Any]:
    return {
        "question": case.question,
        "right": sorted(case.right),
        **{name: {"decision": f.decision, "entries": [m.entry.key for m in f.matches]}
           for name, f in (("before", old), ("after", new))},
    }  # fmt: skip


def _share(marks: Sequence[Mapping[str, bool]], name: str) -> float:
    return round(100 * sum(mark[name] for mark in marks) / len(marks), 1) if marks else 0.0
