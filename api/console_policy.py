"""Staff page of the policy: the form, what will change, history, and the days of the calendar."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import templates
from api.callers import Caller, requires
from api.frame import back, complaint, render, written
from api.pages import language_of
from api.policy import history
from api.services import Services, Tx, Use
from desk import hours, policy
from desk.errors import BadInput, BadPolicy, DeskError, PolicyChanged
from desk.permissions import Permission
from desk.policy import RANKS, Policy

pages = APIRouter(include_in_schema=False)
Editor = Annotated[Caller, requires(Permission.POLICY_EDIT)]
SHOWN: Final = 20  # versions on the page
SPARE: Final = 2  # empty lines for what is added
MOST: Final = 60  # lines of a list that are read
DEFAULTS: Final = Policy()
_ROWS: Final = {"service.hours": ("opens", "closes"), "alarms.on_call": ("name", "phone", "telegram")}


@pages.get("/desk/policy")
async def show(
    request: Request, use: Use, caller: Editor, db: Tx, year: Annotated[int | None, Query(ge=2000, le=2999)] = None
) -> Response:
    """The latest policy to change, what was published, and the days of a year."""
    number, latest = await policy.latest(db)
    return await _form(request, use, caller, db, number, to_form(latest), year=year)


async def _form(
    request: Request, use: Services, caller: Caller, db: Tx, number: int, values: Mapping[str, str], *,
    status: int = 200, year: int | None = None, **facts: Any,
) -> Response:  # fmt: skip
    at = use.clock.now()
    year = year or at.astimezone(use.settings.zone).year
    past = await history(db, limit=SHOWN)
    waiting = [each for each in past[:1] if each.effective_at > at]
    return render(
        request, use, caller, "policy", status=status, number=number, values=values, rows=_rows(values), ranks=RANKS,
        defaults=to_form(DEFAULTS), history=past, waiting=waiting, year=year, days=await hours.overrides(db, year),
        guessed=hours.Calendar().guessed(date(year, 1, 1)), **{"typed": {}, "elsewhere": "", **facts},
    )  # fmt: skip


@pages.post("/desk/policy")
async def step(request: Request, use: Use, caller: Editor) -> Response:
    """Look at what will change, go back to the form, or publish; nothing that was typed is lost on the way."""
    form = await written(request)
    number = form.get("version", "")
    seen = int(number) if re.fullmatch(r"[0-9]{1,15}", number) else -1
    async with use.store.transaction() as db:
        latest, base = await policy.latest(db)
        known = [each for each in await policy.versions(db, before=seen + 1, limit=1) if each.number == seen]
        if not known and seen != 0:
            raise BadInput(problems=[("version", "int_parsing", None)])
        before = Policy.model_validate(known[0].document) if known else DEFAULTS
        try:
            mine = policy.diff(before, policy.propose(DEFAULTS, from_form(form)))
            # what this editor changed, on top of what others published meanwhile
            merged = policy.propose(base, _nested({change.field: change.after for change in mine}))
        except BadPolicy as error:
            errors = _beside(error, form, language_of(request))
            return await _form(request, use, caller, db, seen, form, status=422, errors=errors)
        if seen != latest:
            told = complaint(request, PolicyChanged(version=latest))
            return await _form(request, use, caller, db, latest, to_form(merged), status=409, elsewhere=told)
        if form.get("step") == "edit":
            return await _form(request, use, caller, db, seen, form)
        changes = policy.diff(base, merged)
    errors = {}
    if form.get("step") == "publish":
        try:
            begins = _begins(form.get("effective_at", ""), use)
            async with use.store.transaction() as db:
                await policy.publish(
                    db, merged.model_dump(mode="json"), version=seen, note=form.get("note", "")[: policy.LONGEST_NOTE],
                    by=caller.name, at=use.clock.now(), effective_at=begins,
                )  # fmt: skip
            return back("/desk/policy", "published")
        except BadInput as error:
            errors = {"effective_at": complaint(request, error)}
        except PolicyChanged as error:
            async with use.store.transaction() as db:
                told = complaint(request, error)
                return await _form(request, use, caller, db, seen, form, status=409, elsewhere=told)
        except DeskError as error:
            errors = {"note": complaint(request, error)}
    kept = {name: value for name, value in form.items() if name not in ("step", "note", "effective_at")}
    return render(
        request, use, caller, "policy_review", status=422 if errors else 200, changes=changes, kept=kept, errors=errors,
        note=form.get("note", ""), effective_at=form.get("effective_at", ""),
    )  # fmt: skip


def _begins(text: str, use: Services) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=use.settings.zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(problems=[("", "datetime_parsing", None)]) from None


# -- days of the calendar ---------------------------------------------------------------------------------------------


@pages.post("/desk/policy/days")
async def set_day(request: Request, use: Use, caller: Editor) -> Response:
    """Make a day working or free, whatever the published calendar says."""
    form = await written(request)
    errors: dict[str, str] = {}
    try:
        day = date.fromisoformat(form.get("day", ""))
    except ValueError:
        day = date.min
    if not 2000 <= day.year <= 2999:
        errors["day"] = complaint(request, BadInput(problems=[("", "date_parsing", None)]))
    async with use.store.transaction() as db:
        if not errors:
            working = form.get("working") == "yes"
            facts: dict[str, Any] = {
                "note": form.get("why", "")[: policy.LONGEST_NOTE],
                "by": caller.name,
                "at": use.clock.now(),
            }
            try:
                await hours.override(db, day, working=working, **facts)
            except DeskError as error:
                errors["why"] = complaint(request, error)
        if errors:
            number, latest = await policy.latest(db)
            year = day.year if "day" not in errors else None
            more: dict[str, Any] = {"status": 422, "year": year, "errors": errors, "typed": form}
            return await _form(request, use, caller, db, number, to_form(latest), **more)
    return back("/desk/policy", "day", year=day.year)


@pages.post("/desk/policy/days/drop")
async def drop_day(request: Request, use: Use, caller: Editor, db: Tx) -> Response:
    """Let a day be what the published calendar says."""
    try:
        day = date.fromisoformat((await written(request)).get("day", ""))
    except ValueError:
        raise BadInput(problems=[("day", "date_parsing", None)]) from None
    await hours.follow_calendar(db, day, by=caller.name, at=use.clock.now())
    return back("/desk/policy", "day", year=day.year if 2000 <= day.year <= 2999 else "")


# -- a document as a form and back ------------------------------------------------------------------------------------


def to_form(document: Policy) -> dict[str, str]:
    """Every field as its input shows it, by dotted name; lines of lists are numbered."""
    return dict(_typed(document.model_dump(mode="json")))


def _typed(part: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in part.items():
        field = prefix + name
        if isinstance(value, Mapping):
            yield from _typed(value, f"{field}.")
        elif isinstance(value, bool):
            if value:
                yield field, "on"
        elif field == "promises.remind_before_min":
            yield field, ", ".join(map(str, value))
        elif isinstance(value, list):
            for n, line in enumerate(value):
                days = {f"days.{day}": "on" for day in line.get("days", ())}
                plain = {inner: text for inner, text in line.items() if inner != "days"}
                yield from ((f"{field}.{n}.{inner}", _clock(inner, text)) for inner, text in {**plain, **days}.items())
        else:
            yield field, _clock(name, str(value))


def _clock(name: str, text: str) -> str:
    if name == "closes" and text == "00:00:00":
        return "24:00"
    return text.removesuffix(":00") if re.fullmatch(r"\d\d:\d\d:\d\d", text) else text


def from_form(form: Mapping[str, str]) -> dict[str, Any]:
    """The document that a form says, not yet checked; empty lines of lists are left out."""
    return _said(DEFAULTS.model_dump(mode="json"), form, "")


def _said(part: Mapping[str, Any], form: Mapping[str, str], prefix: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, default in part.items():
        field = prefix + name
        if isinstance(default, Mapping):
            said[name] = _said(default, form, f"{field}.")
        elif isinstance(default, bool):
            said[name] = field in form
        elif field in _ROWS:
            said[name] = [_line(form, field, n) for n in _written(form, field)]
        elif isinstance(default, list):
            said[name] = [each for each in re.split(r"[\s,，、;；]+", form.get(field, "")) if each]
        else:
            said[name] = form.get(field, "")
    return said


def _line(form: Mapping[str, str], field: str, n: int) -> dict[str, Any]:
    line: dict[str, Any] = {name: form.get(f"{field}.{n}.{name}", "") for name in _ROWS[field]}
    if field == "service.hours":
        line["days"] = [day for day in range(1, 8) if f"{field}.{n}.days.{day}" in form]
    return line


def _written(form: Mapping[str, str], field: str) -> list[int]:
    """Numbers of the lines in which something stands; days alone are none."""
    return [n for n in range(MOST) if any(form.get(f"{field}.{n}.{name}") for name in _ROWS[field])]


def _rows(values: Mapping[str, str]) -> dict[str, int]:
    """How many lines a list shows."""
    return {field: min(MOST, max(_written(values, field), default=-1) + 1 + SPARE) for field in _ROWS}


def _beside(error: BadPolicy, form: Mapping[str, str], language: str) -> dict[str, str]:
    """What is wrong by the id of the input it stands beside."""
    found: dict[str, str] = {}
    for where, kind, limit in error.facts["problems"]:
        parts = where.split(".")
        field = ".".join(parts[:2])
        if field in _ROWS and len(parts) > 2:
            # empty lines were left out: back to the number on the page
            parts[2] = str(_written(form, field)[int(parts[2])])
            parts = parts[:4]
        elif field == "promises.remind_before_min":
            parts = parts[:2]
        words = templates.error_words(["BadPolicy"], language, problems=[("", kind, limit)])[1]
        found.setdefault(".".join(parts), words)
    return found


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    done: dict[str, Any] = {}
    for field, value in fields.items():
        *above, name = field.split(".")
        place = done
        for part in above:
            place = place.setdefault(part, {})
        place[name] = value
    return done
