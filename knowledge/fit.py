"""Builds everything that is fitted, from the data in the repository, with the same result every time.

`python -m knowledge.fit` writes `knowledge/data/lexicon.tsv.gz` and `knowledge/model/*`. It needs the development
packages (scikit-learn, scipy, jieba). The examination files in `tests/data` play no part in it.
"""

import gzip
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from knowledge import encoders, importer, intents, search
from knowledge import text as words
from knowledge.encoders import Encoder, Remembering
from knowledge.entries import English, Entry, as_entries, seeds
from knowledge.index import CHANNELS, Asked, Index
from knowledge.pinyin import syllable

HERE: Final = Path(__file__).parent
FOLDS: Final = 4
CALM_ALARMS: Final = 0.015  # everyday messages that may be taken for danger; when in doubt alarm
STRANGE_SHARE: Final = 0.18  # share of out-of-scope questions among messages, for weighing


@dataclass(frozen=True)
class Bounds:
    """What a pair of thresholds must keep, and how much better a direct answer is than a list that holds it."""

    wrong: float  # wrong direct answers at most, share of messages
    quiet: float  # out-of-scope questions that end in abstention at least
    direct: float  # share of a handled message


# the bank of strange questions is harder than life
RICH: Final = Bounds(wrong=0.02, quiet=0.975, direct=0.1)
# only the text is known, and a third of the examples ask for just what is missing
BARE: Final = Bounds(wrong=0.03, quiet=0.65, direct=0.4)


def fit_lexicon(least: int = 20) -> int:
    """Words of up to four characters with count and sound; returns how many."""
    import jieba
    from pypinyin import Style, lazy_pinyin

    rows: list[str] = []
    dictionary = Path(jieba.__file__).parent / "dict.txt"
    for line in dictionary.read_text(encoding="utf-8").splitlines():
        word, count, *_ = line.split()
        if len(word) <= 4 and re.fullmatch(r"[\u4e00-\u9fff]+", word) and int(count) >= least:
            # a typed character is heard alone, so 着火 must be found under zhao huo and under zhe huo
            sounds = dict.fromkeys((" ".join(lazy_pinyin(word, style=Style.NORMAL)), " ".join(map(syllable, word))))
            rows.append("\t".join([word, count, *sounds]))
    target = HERE / "data" / "lexicon.tsv.gz"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(gzip.compress("\n".join(rows).encode(), 9, mtime=0))
    return len(rows)


@dataclass
class Example:
    """One training question with its channel scores."""

    right: set[int]  # entry numbers; empty = out of scope
    asked: Asked
    table: NDArray[np.float32]
    strange: NDArray[np.float64]  # (4,)
    fold: int


def _questions() -> list[dict[str, Any]]:
    return search.training("questions")


def _rich_examples(entries: list[Entry], lite: Encoder, full: Encoder | None) -> list[Example]:
    """Every training question against the guide as shipped, but blind to the questions of its own fold."""
    rows, strange = _questions(), list(search.strange_questions())
    index = Index(entries, lite, full, asked=search.known_questions())
    bank = search.Strange(strange, index, lite, full)
    number = {entry.key: i for i, entry in enumerate(entries)}
    folds = {words.bare(words.clean(r["q"])): i % FOLDS for i, r in enumerate(rows)}
    own = {words.bare(words.clean(t)) for e in entries for t in [e.title, e.question, *e.aliases, e.en.question]}
    text_fold = np.array([-1 if t in own else folds.get(t, -1) for t in index.texts])
    bank_fold = np.arange(len(bank.texts)) % FOLDS
    place = {t: i for i, t in enumerate(bank.texts)}
    examples: list[Example] = []
    for i, row in enumerate(rows):
        asked = index.ask(row["q"])
        right = {number[key] for key in (row.get("ids") or [row["id"]])}
        table = index.score(asked, hide=text_fold == i % FOLDS)
        examples.append(Example(right, asked, table, np.append(bank.score(asked), 0.0), i % FOLDS))
    for i, question in enumerate(strange):
        asked = index.ask(question)
        fold = int(bank_fold[place[asked.variants[0]]]) if asked.variants[0] in place else i % FOLDS
        score = np.append(bank.score(asked, hide=bank_fold == fold), 0.0)
        examples.append(Example(set(), asked, index.score(asked), score, fold))
    return examples


def _bare_examples(entries: list[Entry], lite: Encoder, full: Encoder | None) -> list[Example]:
    """Every training question against entries as an import makes them, once with the right entry and once without it:
    then the guide is silent, as an imported one is about what it does not cover."""
    rows = _questions()
    bare: dict[str, Any] = {"aliases": [], "question": "", "en": English()}
    # titles as an import finds them: the beginning of the text instead of a clerk's summary
    stripped = [e.model_copy(update=bare | {"title": importer.phrase(e.answer.strip())}) for e in entries]
    index = Index(stripped, lite, full)
    number = {entry.key: i for i, entry in enumerate(entries)}
    examples: list[Example] = []
    for i, row in enumerate(rows):
        if row["style"] in ("english",):
            continue
        asked = index.ask(row["q"])
        right = {number[key] for key in (row.get("ids") or [row["id"]])}
        table = index.score(asked)
        examples.append(Example(right, asked, table, np.zeros(4), i % FOLDS))
        if i % 2:
            without = table.copy()
            # neighbours of the right entry often answer too, so they go with it
            kin = {j for j, e in enumerate(entries) if any(e.key[0] == entries[r].key[0] for r in right)}
            without[sorted(kin)] = 0
            examples.append(Example(set(), asked, without, np.zeros(4), i % FOLDS))
    for i, question in enumerate(search.strange_questions()[::3]):
        asked = index.ask(question)
        examples.append(Example(set(), asked, index.score(asked), np.zeros(4), i % FOLDS))
    return examples


def _fit_scope(
    examples: list[Example], entries: list[Entry], lite: Encoder, full: Encoder | None
) -> NDArray[np.float64]:
    """Logistic regression on sentence vectors: is this out of scope? Fills in every example's score, cross-fitted."""
    from sklearn.linear_model import LogisticRegression

    texts = sorted({words.bare(words.clean(t)) for e in entries for t in [e.title, e.question, *e.aliases]})
    inside = np.concatenate([encoder.encode(texts) for encoder in (lite, full) if encoder], axis=1).astype(np.float64)
    vectors = np.stack([search.vector(e.asked) for e in examples])
    outside = np.array([not e.right for e in examples])
    folds = np.array([e.fold for e in examples])

    def fit(chosen: NDArray[np.bool_]) -> Any:
        x = np.concatenate([vectors[chosen], inside])
        y = np.concatenate([outside[chosen], np.zeros(len(inside), bool)])
        return LogisticRegression(C=20.0, max_iter=5000, class_weight="balanced").fit(x, y)

    for fold in range(FOLDS):
        scores = fit(folds != fold).decision_function(vectors[folds == fold])
        for place, score in zip(np.flatnonzero(folds == fold), scores, strict=True):
            examples[place].strange[3] = score
    whole = fit(np.ones(len(examples), bool))
    return np.append(whole.coef_[0], whole.intercept_[0])


def _fit_weights(examples: list[Example], used: list[int]) -> NDArray[np.float64]:
    """Non-negative channel weights: maximal likelihood of the right entry under a softmax over all entries."""
    from scipy.optimize import minimize

    known = [e for e in examples if e.right]
    tables = np.stack([e.table[:, used] for e in known]).astype(np.float64)
    right = np.zeros(tables.shape[:2])
    for row, e in enumerate(known):
        right[row, list(e.right)] = 1.0

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        raw = tables @ weights
        raw -= raw.max(axis=1, keepdims=True)
        spread = np.exp(raw)
        share = spread / spread.sum(axis=1, keepdims=True)
        hit = (share * right).sum(axis=1) + 1e-9
        wanted = share * right / hit[:, None]
        gradient = np.einsum("nc,nck->k", share - wanted, tables)
        return float(-np.log(hit).sum() + 0.02 * (weights**2).sum()), gradient + 0.04 * weights

    start = np.full(len(used), 3.0)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(used))
    weights = np.zeros(len(CHANNELS))
    weights[used] = found.x
    return weights


def _features(
    examples: list[Example], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Evidence, whether the first match is right, whether the right one is among three."""
    rows, first, three = [], [], []
    for e in examples:
        raw, chance = search.chances(e.table, weights)
        order = search.highest(raw, 3)
        rows.append(search.evidence(e.table, raw, chance, order, e.strange, e.asked))
        first.append(int(order[0]) in e.right)
        three.append(bool(e.right & {int(i) for i in order}))
    return np.stack(rows), np.array(first), np.array(three)


def _logistic(x: NDArray[np.float64], y: NDArray[np.bool_], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression

    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    model = LogisticRegression(C=1.0, max_iter=5000, tol=1e-8).fit((x - centre) / scale, y, sample_weight=weight)
    coefficients = model.coef_[0] / scale
    return np.append(coefficients, model.intercept_[0] - coefficients @ centre)


def _judge(examples: list[Example], used: list[int], bounds: Bounds) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Weights, confidence models, thresholds and cross-validated figures."""
    folds = np.array([e.fold for e in examples])
    strange = np.array([not e.right for e in examples])
    weight = np.where(strange, STRANGE_SHARE / strange.mean(), (1 - STRANGE_SHARE) / (~strange).mean())
    sure, near = np.zeros(len(examples)), np.zeros(len(examples))
    first, three = np.zeros(len(examples), bool), np.zeros(len(examples), bool)
    for fold in range(FOLDS):
        test = folds == fold
        train = [e for e in examples if e.fold != fold]
        weights = _fit_weights(train, used)
        x, a, b = _features(train, weights)
        answer, offer = _logistic(x, a, weight[~test]), _logistic(x, b, weight[~test])
        x, first[test], three[test] = _features([e for e in examples if e.fold == fold], weights)
        sure[test] = [search.probability(answer, row) for row in x]
        near[test] = [search.probability(offer, row) for row in x]
    answer_at, offer_at, figures = _thresholds(sure, near, first, three, strange, weight, bounds)
    weights = _fit_weights(examples, used)
    x, a, b = _features(examples, weights)
    return weights, {
        "answer": _logistic(x, a, weight).round(4).tolist(),
        "offer": _logistic(x, b, weight).round(4).tolist(),
        "answer_at": answer_at,
        "offer_at": offer_at,
        "cross_validated": figures,
    }


def fit_search(lite: Encoder, full: Encoder | None) -> dict[str, Any]:
    """All parameters of one mode."""
    entries = as_entries(seeds())
    used = [i for i, name in enumerate(CHANNELS) if full or not name.startswith("full")]
    rich = _rich_examples(entries, lite, full)
    scope = _fit_scope(rich, entries, lite, full)
    rich_weights, rich_judgement = _judge(rich, used, RICH)
    bare_weights, bare_judgement = _judge(_bare_examples(entries, lite, full), used, BARE)
    return {
        "rich_weights": rich_weights.round(4).tolist(),
        "bare_weights": bare_weights.round(4).tolist(),
        "scope": scope.round(4).tolist(),
        "rich": rich_judgement,
        "bare": bare_judgement,
    }


def _thresholds(
    sure: NDArray[np.float64],
    near: NDArray[np.float64],
    first: NDArray[np.bool_],
    three: NDArray[np.bool_],
    strange: NDArray[np.bool_],
    weight: NDArray[np.float64],
    bounds: Bounds,
) -> tuple[float, float, dict[str, float]]:
    """The pair of thresholds that handles most messages rightly within the bounds on wrong and strange ones."""
    grid = [round(float(g), 2) for g in np.arange(0.02, 0.99, 0.01)]
    total = weight.sum()
    best: tuple[float, float, float] = (-1.0, 0.9, 0.9)
    for offer_at in grid:
        spoke = near >= offer_at
        for answer_at in grid:
            answered = sure >= answer_at
            wrong = weight[answered & ~first].sum() / total
            quiet = 1 - (answered | spoke)[strange].mean()
            if wrong > bounds.wrong or quiet < bounds.quiet:
                continue
            handled = weight[(answered & first) | (~answered & spoke & three) | (~answered & ~spoke & strange)].sum()
            # a direct answer is better service than a list, where it stays within the bounds
            value = (handled + bounds.direct * weight[answered & first].sum()) / total
            best = max(best, (value, -answer_at, -offer_at))
    answer_at, offer_at = abs(best[1]), abs(best[2])
    answered, spoke = sure >= answer_at, near >= offer_at
    handled = (answered & first) | (~answered & spoke & three) | (~answered & ~spoke & strange)
    figures = {
        "top1": first[~strange].mean(),
        "recall3": three[~strange].mean(),
        "answered": weight[answered].sum() / total,
        "wrong": weight[answered & ~first].sum() / total,
        "oos_abstained": 1 - (answered | spoke)[strange].mean(),
        "handled": weight[handled].sum() / total,
    }
    return answer_at, offer_at, {name: round(100 * float(value), 1) for name, value in figures.items()}


def fit_intents(mode: str, using: list[Encoder]) -> dict[str, float]:
    """Intent and danger models of one mode; returns cross-validated figures and the danger threshold."""
    messages, questions, strange = (search.training(name) for name in ("intents", "questions", "out_of_scope"))
    # an unanswerable question is still a question to the guide
    extra = [row | {"intent": "ask_guide"} for row in [*questions[::4], *strange[::6]]]
    alarms, calm = search.training("danger"), [*messages, *questions[::2], *strange[::2]]
    heard = [intents.Heard.of(row["q"]) for row in [*messages, *extra, *alarms, *calm]]
    parts = [encoder.encode([h.meant for h in heard]) for encoder in using]
    centre = parts[1].mean(axis=0) if len(parts) == 2 else np.zeros(1, np.float32)
    meanings = intents.meanings(parts, centre)
    spoken = len(messages) + len(extra)
    linear, accuracy = _fit_purpose(
        np.concatenate([meanings[:spoken], np.stack([intents.grams(h) for h in heard[:spoken]])], axis=1),
        np.array([list(intents.Intent).index(row["intent"]) for row in [*messages, *extra]]),
        len(messages),
    )
    dangerous = np.array([bool(row.get("danger")) for row in [*alarms, *calm]])
    width = intents.WIDTH if len(parts) == 2 else intents.WIDTH_LITE
    machine, figures = _fit_danger(meanings[spoken:], dangerous, len(alarms), width)
    kept = {
        f"alarms_{encoder.name}": np.round(part[spoken:][machine.support_] * 127).astype(np.int8)
        for encoder, part in zip(using, parts, strict=True)
    }
    np.savez_compressed(
        HERE / "model" / f"intents-{mode}.npz",
        centre=centre,
        intent=linear.coef_.astype(np.float16),
        intent_bias=linear.intercept_.astype(np.float16),
        alarm_weights=machine.dual_coef_[0].astype(np.float32),
        alarm_bias=machine.intercept_[0].astype(np.float32),
        **kept,
    )
    return {"accuracy": accuracy} | figures


def _fit_purpose(x: NDArray[np.float32], y: NDArray[np.int64], first: int) -> tuple[Any, float]:
    """The linear intent model and its cross-validated accuracy over the first rows, in percent."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    model = LogisticRegression(C=5.0, max_iter=1000, class_weight="balanced")
    guessed = cross_val_predict(model, x, y, cv=StratifiedKFold(5, shuffle=True, random_state=7))
    return model.fit(x, y), round(100 * float((guessed == y)[:first].mean()), 1)


def _fit_danger(
    x: NDArray[np.float32], y: NDArray[np.bool_], written: int, width: float
) -> tuple[Any, dict[str, float]]:
    """The danger model, its threshold and cross-validated figures in percent.

    The first rows were `written` to be dangerous or nearly so; the others are everyday messages, of which at most
    CALM_ALARMS may raise an alarm: within that bound the threshold is as low as it can be.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.svm import SVC

    model = SVC(C=3.0, gamma=width, class_weight="balanced", cache_size=500)
    splits = StratifiedKFold(10, shuffle=True, random_state=7)
    score = cross_val_predict(model, x, y, cv=splits, method="decision_function")
    calm, near = ~y, ~y
    calm[:written], near[written:] = False, False
    danger_at = float(np.round(np.quantile(score[calm], 1 - CALM_ALARMS), 3))
    alarm = score >= danger_at
    figures = {"danger_recall": alarm[y], "danger_false_near": alarm[near], "danger_false_calm": alarm[calm]}
    shares = {name: round(100 * float(part.mean()), 1) for name, part in figures.items()}
    return model.fit(x, y), {"danger_at": danger_at} | shares


def ship_vectors(lite: Encoder, full: Encoder) -> int:
    """Keep the vectors of the shipped guide, so that nobody has to compute them; returns how many texts."""
    texts = 0
    for encoder in (lite, full):
        shipped = Remembering(encoder, None, shipped=False)
        index = Index(as_entries(seeds()), shipped, None, asked=search.known_questions())
        search.Strange(search.strange_questions(), index, shipped, None)
        shipped.save(HERE / "model" / f"vectors-{encoder.name}.npz")
        texts = shipped.size
    return texts


def main() -> None:
    """Fit everything and print the cross-validated figures."""
    say = sys.stdout.write
    (HERE / "model").mkdir(exist_ok=True)
    say(f"lexicon: {fit_lexicon()} words\n")
    cache = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    # sums must not depend on how many cores there are
    threadpool_limits(1)
    lite = Remembering(encoders.lite(), cache, shipped=False)
    full = Remembering(encoders.full(), cache, shipped=False)
    found: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    for mode, second in ((search.LITE, None), (search.FULL, full)):
        found[mode] = fit_search(lite, second)
        for kind in ("rich", "bare"):
            say(f"search {mode} {kind}: {found[mode][kind]['cross_validated']}\n")
        figures[mode] = fit_intents(mode, [lite, second] if second else [lite])
        say(f"intents {mode}: {figures[mode]}\n")
    say(f"vectors: {ship_vectors(lite, full)} texts\n")
    lite.save()
    full.save()
    (HERE / "model" / "search.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (HERE / "model" / "intents.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
