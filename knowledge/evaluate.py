"""Examines search or intents with labelled questions nobody fitted anything to."""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from knowledge import encoders
from knowledge.encoders import Remembering
from knowledge.entries import as_entries, seeds
from knowledge.intents import Intent, Reader
from knowledge.search import Decision, Finding, Guide


class BadExamination(ValueError):
    """The file cannot be used. Facts: line (from 1) and problem."""

    def __init__(self, line: int, problem: str) -> None:
        self.line, self.problem = line, problem
        super().__init__(f"line {line}: {problem}")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON lines file: `q` with `id`/`ids`, `intent` or `danger`. Raises BadExamination."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadExamination(number, error.msg) from None
        if not isinstance(row, dict) or not isinstance(row.get("q"), str):
            raise BadExamination(number, "no question under q")
        if not {"id", "ids", "intent", "danger"} & row.keys():
            raise BadExamination(number, "none of id, ids, intent, danger")
        rows.append(row)
    if not rows:
        raise BadExamination(1, "no questions")
    return rows


def run(path: Path, *, encoder: str = "auto", cache: Path | None = None) -> dict[str, Any]:
    """Examine with the file's questions against the shipped guide. Percentages, one decimal. Raises BadExamination."""
    rows = read(path)
    second = encoders.second(encoder)
    if "intent" in rows[0] or "danger" in rows[0]:
        return intents(rows, Reader(encoders.lite(), second))
    lite = Remembering(encoders.lite(), cache)
    full = Remembering(second, cache) if second else None
    guide = Guide(as_entries(seeds()), lite, full)
    return questions(rows, guide)


def questions(rows: Sequence[dict[str, Any]], guide: Guide) -> dict[str, Any]:
    """`top1` and `recall3` of answerable questions; of all messages `overall` (right entry first and not abstained, or
    rightly abstained), `handled` (right answer, right choices or right abstention), `wrong` (wrong direct answers);
    `oos_abstained` of unanswerable ones; latency in ms."""
    for row in rows[:3]:
        guide.find(row["q"] + " ")
    styles: dict[str, list[dict[str, bool]]] = defaultdict(list)
    times: list[float] = []
    for row in rows:
        began = time.perf_counter()
        finding = guide.find(row["q"])
        times.append((time.perf_counter() - began) * 1000)
        styles[str(row.get("style", "all"))].append(judge(row, finding))
    marks = [mark for part in styles.values() for mark in part]
    report = summary(marks)
    report |= latency(times)
    return report | {
        "questions": len(marks),
        "mode": guide.mode,
        "styles": {s: summary(m) for s, m in sorted(styles.items())},
    }


def judge(row: dict[str, Any], finding: Finding) -> dict[str, bool]:
    """What was right about one finding."""
    right = set(row.get("ids") or ([row["id"]] if row.get("id") else []))
    keys = [match.entry.key for match in finding.matches]
    first, three = bool(keys) and keys[0] in right, bool(right & set(keys))
    answered, offered = finding.decision is Decision.ANSWER, finding.decision is Decision.CHOICES
    quiet = finding.decision is Decision.ABSTAIN
    return {
        "answerable": bool(right),
        "first": first,
        "three": three,
        "overall": (first and not quiet) if right else quiet,
        "handled": (answered and first) or (offered and three) or (quiet and not right),
        "wrong": answered and not first,
        "answered": answered,
        "quiet": quiet,
    }


def summary(marks: Sequence[dict[str, bool]]) -> dict[str, Any]:
    """Percentages over judged questions; None where there is nothing to count."""

    def share(name: str, among: list[dict[str, bool]]) -> float | None:
        return round(100 * sum(mark[name] for mark in among) / len(among), 1) if among else None

    known = [mark for mark in marks if mark["answerable"]]
    strange = [mark for mark in marks if not mark["answerable"]]
    every = list(marks)
    return {
        "top1": share("first", known),
        "recall3": share("three", known),
        "overall": share("overall", every),
        "handled": share("handled", every),
        "oos_abstained": share("quiet", strange),
        "wrong": share("wrong", every),
        "answered": share("answered", every),
    }


def latency(times: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile of milliseconds."""
    return {f"p{part}_ms": round(float(np.percentile(times, part)), 2) for part in (50, 99)}


def intents(rows: Sequence[dict[str, Any]], reader: Reader) -> dict[str, Any]:
    """Accuracy of intents in all and per intent, and of the danger flag, in percent."""
    right: dict[str, list[bool]] = defaultdict(list)
    confused: dict[str, int] = defaultdict(int)
    alarms: dict[bool, list[bool]] = defaultdict(list)
    times: list[float] = []
    for row in rows:
        began = time.perf_counter()
        reading = reader.read(row["q"])
        times.append((time.perf_counter() - began) * 1000)
        if "intent" in row:
            if row["intent"] not in list(Intent):
                raise BadExamination(0, f"unknown intent {row['intent']}")
            right[row["intent"]].append(reading.intent == row["intent"])
            if reading.intent != row["intent"]:
                confused[f"{row['intent']} → {reading.intent}"] += 1
        if "danger" in row:
            alarms[bool(row["danger"])].append(reading.danger)
    report: dict[str, Any] = {}
    if right:
        every = [mark for part in right.values() for mark in part]
        report["accuracy"] = round(100 * sum(every) / len(every), 1)
        report["intents"] = {name: round(100 * sum(part) / len(part), 1) for name, part in sorted(right.items())}
        report["confused"] = dict(sorted(confused.items(), key=lambda item: -item[1])[:10])
    if alarms[True]:
        report["danger_recall"] = round(100 * sum(alarms[True]) / len(alarms[True]), 1)
    if alarms[False]:
        report["danger_false"] = round(100 * sum(alarms[False]) / len(alarms[False]), 1)
    report |= latency(times)
    return report | {"messages": len(rows)}
