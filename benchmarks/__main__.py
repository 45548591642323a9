"""Measures search and line beside their rivals in one run: `python -m benchmarks [--json] [--questions FILE]`."""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks import desk, queue, rivals
from benchmarks import guide as large
from knowledge import encoders, evaluate
from knowledge.encoders import Encoder, Remembering
from knowledge.entries import Entry
from knowledge.search import Guide

HELD_OUT: Final = Path(__file__).parent.parent / "tests" / "data" / "questions_held_out.jsonl"
SIZES: Final = (94, 10_000)
SLOW: Final = 60  # questions for which a rival that needs over 20 ms each is asked
COLUMNS: Final = {
    "top1": "top1",
    "recall3": "top3",
    "overall": "all",
    "handled": "handled",
    "oos_abstained": "silent",
    "wrong": "wrong",
    "p50_ms": "p50",
    "p99_ms": "p99",
    "build_s": "build",
}

Builder = Callable[[Sequence[Entry]], rivals.Searcher]


def builders(lite: Encoder, full: Encoder | None) -> dict[str, Builder]:
    """Every contender by name."""
    found: dict[str, Builder] = {"Greenline lite": lambda entries: Guide(entries, lite, None)}
    if full is not None:
        found = {"Greenline full": lambda entries: Guide(entries, lite, full)} | found
    return found | {
        "WRatio": rivals.WRatio,
        "token_set + aliases": rivals.TokenSet,
        "bm25s + aliases": rivals.Bm25,
    }


def examine(rows: Sequence[dict[str, Any]], searcher: rivals.Searcher, advance: Callable[[], None]) -> dict[str, Any]:
    """Accuracy in percent over all rows and latency in ms of one searcher, as `evaluate.questions` counts them."""
    for row in rows[:3]:
        searcher.find(row["q"] + " ")
    # the encoders remember recent texts; a benchmark must not profit from it
    for encoder in (encoders.lite(), *([found] if (found := encoders.second("auto")) else [])):
        if isinstance(encoder, encoders.Bundled):
            encoder.forget()
    marks, times = [], []
    for row in rows:
        began = time.perf_counter()
        finding = searcher.find(row["q"])
        times.append((time.perf_counter() - began) * 1000)
        marks.append(evaluate.judge(row, finding))
        advance()
    return evaluate.summary(marks) | evaluate.latency(times)


def measure(rows: Sequence[dict[str, Any]], console: Console) -> list[dict[str, Any]]:
    """All contenders at all sizes."""
    lite: Encoder = Remembering(encoders.lite(), None)
    second = encoders.second("auto")
    full: Encoder | None = Remembering(second, None) if second else None
    results: list[dict[str, Any]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        for size in SIZES:
            entries = large.entries(size)
            if size > SIZES[0]:
                lite, full = large.Composed(lite), large.Composed(full) if full else None
            for name, build in builders(lite, full).items():
                task = progress.add_task(f"{name}, {size} entries", total=len(rows))
                began = time.perf_counter()
                searcher = build(entries)
                built = time.perf_counter() - began
                began = time.perf_counter()
                searcher.find(rows[0]["q"])
                slow = time.perf_counter() - began > 0.02 and not isinstance(searcher, Guide)
                chosen = rows[:: max(1, len(rows) // SLOW)] if slow else rows
                progress.update(task, total=len(chosen))
                figures = examine(chosen, searcher, lambda task=task: progress.advance(task))  # type: ignore[misc]
                asked = {"system": name, "entries": size, "questions": len(chosen), "build_s": round(built, 2)}
                results.append(asked | figures)
                progress.remove_task(task)
    return results


def show(results: Sequence[dict[str, Any]], console: Console) -> None:
    """One table per size; the best figure of a column is bold."""
    for size in dict.fromkeys(result["entries"] for result in results):
        among = [result for result in results if result["entries"] == size]
        table = Table(
            title=f"{size} entries, {among[0]['questions']} questions",
            title_justify="left",
            box=None,
            padding=(0, 1, 0, 0),
        )
        table.add_column("system", no_wrap=True)
        for heading in COLUMNS.values():
            table.add_column(heading, justify="right", no_wrap=True)
        for result in among:
            cells = []
            for column in COLUMNS:
                best = (min if column in ("wrong", "p50_ms", "p99_ms", "build_s") else max)(r[column] for r in among)
                shown = f"{result[column]:.2f}" if column == "build_s" else f"{result[column]:.1f}"
                cells.append(f"[bold]{shown}[/bold]" if result[column] == best else shown)
            table.add_row(result["system"], *cells)
        console.print(table)
    console.print(
        "Shares in percent (silent: unanswerable questions left unanswered; wrong: wrong answers among all), p50 and "
        "p99 in ms on one thread, build in s. The large guide holds the shipped entries among generated ones about "
        "other things, whose vectors are composed instead of encoded; rivals slower than 20 ms answer every fifth "
        "question. Rivals offer no choices: each answers from the score that suits it best on the training questions."
    )


def main() -> None:
    """Run, print the tables or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--questions", type=Path, default=HELD_OUT, help="labelled questions, JSON lines")
    chosen = parser.parse_args()
    threadpool_limits(1)
    results = measure(evaluate.read(chosen.questions), Console(stderr=True))
    raced = queue.run(Console(stderr=True))
    screens = desk.run(Console(stderr=True))
    if chosen.json:
        print(json.dumps({"search": results, "queue": raced, "desk": screens}, ensure_ascii=False, indent=1))
    else:
        show(results, Console())
        queue.show(raced, Console())
        desk.show(screens, Console())


if __name__ == "__main__":
    main()
