"""The dialogue step: what is said next, given what was said. Pure: no database, no channel, no clock."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bot import identity
from bot.identity import Accounts, Redeem, Turn, Wish
from bot.inbound import Inbound
from bot.reception import MESSAGE, WANTED, Join, Leave, asks_where
from desk.queue import Reason
from knowledge.checklists import Checklists, ProjectType
from knowledge.entries import Entry
from knowledge.intents import Intent, Reading
from knowledge.search import Decision, Finding
from templates import Choice, Reply, Source

SILENT: Final = ("silent", "silent_long")  # replies that say the guide has no answer
LONG: Final = 400  # characters of a question that are read
SURE: Final = 0.6  # chance of an intent below which the message is taken as a question to the guide
SURER: Final = 0.9  # the same where the guide has a direct answer
NO_FACTS: Final[dict[str, Any]] = {}

MENU: Final = Choice("menu", "menu", NO_FACTS)
PERSON: Final = Choice("person", "person", NO_FACTS)
MORE: Final = Choice("message", "write_more", NO_FACTS)
CANCEL: Final = Choice("cancel", "cancel", NO_FACTS)
CHECKLIST: Final = Choice("check", "checklist", NO_FACTS)

COMMANDS: Final = ("start", "help", "menu", "lang", "cancel")
_BACK: Final = re.compile(r"^(返回|后退|上一步|重选|重新选|换一个|换个|back|change)\W*$", re.I)
_SHORT: Final = 12  # characters of a message that is a word in passing, not a text of its own


@dataclass(frozen=True)
class Scene:
    """What the step may look at: the conversation before this message, and the guide."""

    language: str
    flow: Mapping[str, Any]  # what we are in the middle of; empty between matters
    kept: tuple[int, bool] | None  # the inbound that a `keep` button means, and whether staff already have it
    line: int  # number of this inbound in the contact record
    entry: Callable[[str], Entry | None]
    checklists: Checklists
    topics: Callable[[str], list[Entry]]
    accounts: Accounts = ()  # that the contact speaks for


@dataclass(frozen=True)
class Heard:
    """What the message seems to mean."""

    reading: Reading
    finding: Finding | None


@dataclass(frozen=True)
class Left:
    """Effect: these words are left for staff, as part of the contact record."""

    line: int
    about: str


@dataclass(frozen=True)
class Alarm:
    """Effect: somebody may be in danger."""

    line: int


@dataclass(frozen=True)
class Outcome:
    """What the step decided."""

    replies: tuple[Reply, ...] = ()
    flow: Mapping[str, Any] = field(default_factory=dict)
    language: str | None = None  # set = the customer fixed it
    effects: tuple[Left | Alarm, ...] = ()
    wish: Wish | None = None  # its result decides what is said: `turned(identity.after(…))`
    person: Join | Leave | None = None  # into the line for a person, or out of it; what is said comes from there
    asks_where: bool = False  # one's place in it


def step(scene: Scene, inbound: Inbound, heard: Heard) -> Outcome:
    """Decide the replies and the next state for one message."""
    outcome = _step(scene, inbound, heard)
    if inbound.shared and (outcome.wish or outcome.flow.get("name") == "identity"):
        # a group speaks for no account: what is said there is read by all
        return Outcome((Reply("identity_private", {}, (MENU,)),))
    if inbound.shared and isinstance(outcome.person, Join):
        return Outcome((Reply("person_private", {}, (MESSAGE, MENU)),))
    return outcome


def _step(scene: Scene, inbound: Inbound, heard: Heard) -> Outcome:
    if inbound.choice is not None:
        return _tapped(scene, inbound.choice)
    if inbound.token:
        return turned(Turn(wish=Redeem(inbound.token)))
    if is_command(inbound.text):
        return _command(scene, inbound.text)
    flow = scene.flow.get("name")
    # before danger: "有" and "没有系统图" answer what was asked, and nothing else is understood there
    if flow == "checklist" and not inbound.files and (outcome := _checklist_words(scene, inbound.text)):
        return outcome
    if heard.reading.danger:
        return _danger(scene)
    if inbound.text.startswith("/"):
        return _unknown_command(scene, inbound.text)
    if flow == "message":
        return _message(scene, inbound, heard)
    if inbound.files or inbound.location:
        return _meanwhile(scene, _received(scene, inbound, heard))
    if flow == "identity" and (turn := identity.said(scene.flow, inbound.text, heard.reading)):
        return turned(turn)
    if turn := identity.asked(inbound.text, scene.accounts):
        return turned(turn)
    return _meanwhile(scene, _question(scene, inbound, heard))


def waiting(scene: Scene, inbound: Inbound, heard: Heard) -> Outcome:
    """The step for somebody who waits for a person: their words are for that person.

    Only danger, buttons, commands, and what the guide answers directly are replied to.
    """
    if heard.reading.danger and inbound.choice is None:
        return replace(_danger(scene), flow={})
    if inbound.choice is not None or inbound.token or is_command(inbound.text):
        outcome = step(scene, inbound, heard)
        if isinstance(outcome.person, Join):
            return Outcome(asks_where=True)
        return Outcome(person=Leave()) if inbound.text.startswith("/cancel") else outcome
    if scene.flow.get("name") == "identity":
        return step(scene, inbound, heard)
    if heard.reading.intent == Intent.CANCEL and heard.reading.confidence >= SURE and len(inbound.text) <= _SHORT:
        return Outcome(person=Leave())
    if asks_where(inbound.text):
        return Outcome(asks_where=True)
    sure = heard.finding is not None and heard.finding.decision is Decision.ANSWER
    if sure and heard.reading.intent == Intent.ASK_GUIDE:
        return _question(scene, inbound, heard)
    return Outcome()


def turned(turn: Turn) -> Outcome:
    """A step about identity as a step of the dialogue."""
    return Outcome(turn.replies, flow=turn.flow, wish=turn.wish)


def _meanwhile(scene: Scene, outcome: Outcome) -> Outcome:
    """Something else in the middle of proving who one is: answered, and what was asked for stays open."""
    ended = outcome.flow or any(reply.name == "cancelled" for reply in outcome.replies)
    return outcome if ended or scene.flow.get("name") != "identity" else replace(outcome, flow=scene.flow)


def is_command(text: str) -> bool:
    """Whether the message is one of the commands, and so nothing that needs to be understood."""
    return text.startswith("/") and _parts(text)[0] in COMMANDS


def keep(line: int, label: str = "keep") -> Choice:
    """The button that leaves one inbound for staff."""
    return Choice(f"keep:{line}", label, NO_FACTS)


def album(scene: Scene, *, count: int) -> Outcome:
    """The one answer to a whole album: part of a message that is being left, or an offer to leave it."""
    if scene.flow.get("name") == "message":
        return _left(scene.line, str(scene.flow.get("about", "message")))
    return Outcome((Reply("album_received", {"count": count}, (keep(scene.line), MENU)),))


def greeting(language: str) -> Reply:
    """The first words of a conversation, with what the bot can do."""
    return Reply("greeting", {}, _menu_choices(language))


def _menu_choices(language: str) -> tuple[Choice, ...]:
    other = "zh_CN" if language == "en" else "en"
    return (
        Choice("topics:apply", "topics_apply", NO_FACTS),
        CHECKLIST,
        Choice("topics:service", "topics_service", NO_FACTS),
        Choice("mine", "mine", NO_FACTS),
        PERSON,
        Choice(f"lang:{other}", "other_language", NO_FACTS),
    )


# -- commands and buttons ---------------------------------------------------------------------------------------------


def _parts(text: str) -> tuple[str, str]:
    """Name and argument of a command, however Telegram addresses it."""
    name, *rest = text[1:].split(maxsplit=1) or [""]
    return name.partition("@")[0].lower(), "".join(rest)


def _command(scene: Scene, text: str) -> Outcome:
    name, argument = _parts(text)
    match name:
        case "start":
            return Outcome((greeting(scene.language),))
        case "help":
            return Outcome((Reply("help", {}, (MENU,)),))
        case "menu":
            return _menu(scene)
        case "cancel":
            return _cancelled(scene)
        case _:
            wanted = {"en": "en", "english": "en", "zh": "zh_CN", "中文": "zh_CN"}.get(argument.strip().lower())
            if wanted:
                return _language(wanted)
            choices = (Choice("lang:zh_CN", "chinese", NO_FACTS), Choice("lang:en", "english", NO_FACTS))
            return Outcome((Reply("choose_language", {}, choices),), flow=scene.flow)


def _unknown_command(scene: Scene, text: str) -> Outcome:
    command = f"/{_parts(text)[0]}"[:40]
    return Outcome((Reply("unknown_command", {"command": command}, (MENU,)),), flow=scene.flow)


def _tapped(scene: Scene, choice: str) -> Outcome:
    action, _, argument = choice.partition(":")
    match action:
        case "menu":
            return _menu(scene)
        case "cancel":
            return _cancelled(scene)
        case "lang" if argument in ("zh_CN", "en"):
            return _language(argument)
        case "topics" if argument:
            entries = scene.topics(argument)
            if entries:
                choices = tuple(_entry_choice(entry, scene.language) for entry in entries)
                return Outcome((Reply("topics", {}, (*choices, MENU)),))
        case "ask" if argument:
            entry = scene.entry(argument)
            if entry:
                return _answered(scene, entry, ())
        case "check":
            return _checklist(scene, argument)
        case "mine" | "bind" | "account" | "unbind" | "unbound":
            if turn := identity.tapped(scene.flow, action, argument, scene.accounts):
                return turned(turn)
        case "person":
            return Outcome(person=Join(Reason.BUTTON))
        case "queue":
            if wanted := WANTED.get(choice):
                return Outcome(person=wanted)
        case "message" | "more":
            return Outcome((Reply("leave_message", {}, (CANCEL,)),), flow=_message_flow("message"))
        case "keep" if scene.kept:
            line, already = scene.kept
            return _left(line, "message", already=already)
    return Outcome((Reply("stale_choice", {}, _menu_choices(scene.language)),))


def _menu(scene: Scene) -> Outcome:
    return Outcome((Reply("menu", {}, _menu_choices(scene.language)),))


def _cancelled(scene: Scene) -> Outcome:
    name = "cancelled" if scene.flow else "nothing_to_cancel"
    return Outcome((Reply(name, {}, (MENU,)),))


def _language(language: str) -> Outcome:
    return Outcome((Reply("language_set", {}, _menu_choices(language)),), language=language)


# -- questions to the guide -------------------------------------------------------------------------------------------


def _question(scene: Scene, inbound: Inbound, heard: Heard) -> Outcome:
    finding = heard.finding
    if finding is None:
        return Outcome((Reply("wordless", {}, _menu_choices(scene.language)),))
    least = SURER if finding.decision is Decision.ANSWER else SURE
    sure = heard.reading.confidence >= least and not identity.asks_manager(inbound.text)
    intent = heard.reading.intent if sure else Intent.ASK_GUIDE
    if intent == Intent.SMALLTALK:
        return Outcome((Reply("smalltalk", {}, _menu_choices(scene.language)),))
    if intent == Intent.CANCEL:
        return _cancelled(scene)
    if intent == Intent.HUMAN_AGENT:
        return Outcome(person=Join(Reason.WORDS))
    if intent != Intent.ASK_GUIDE:
        choices = (keep(scene.line), MORE, PERSON, *_top_choice(scene, finding), MENU)
        return Outcome((Reply(f"about_{intent}", {}, choices),))
    if outcome := _checklist_asked(scene, inbound.text, finding):
        return outcome
    if finding.decision is Decision.ANSWER:
        best, *others = finding.matches
        return _answered(scene, best.entry, tuple(match.entry for match in others[:2]), cut=len(inbound.text) > LONG)
    if finding.decision is Decision.CHOICES:
        choices = tuple(_entry_choice(match.entry, scene.language) for match in finding.matches[:3])
        return Outcome((Reply("choices", {}, (*choices, keep(scene.line, "none_of_these"))),))
    if identity.asks_manager(inbound.text):
        return turned(identity.begin(about=True))
    name = "silent_long" if len(inbound.text) > LONG else "silent"
    return Outcome((Reply(name, {}, (keep(scene.line), PERSON, MENU)),))


def _received(scene: Scene, inbound: Inbound, heard: Heard) -> Outcome:
    """A file or a place; a question written under it is answered too, where the guide is sure."""
    name = "location_received" if inbound.location else "file_received"
    facts = {"count": max(1, len(inbound.files))}
    finding = heard.finding
    if finding and finding.decision is Decision.ANSWER and heard.reading.intent == Intent.ASK_GUIDE:
        asked = _question(scene, inbound, heard)
        return replace(asked, replies=(Reply(name, facts, (keep(scene.line),)), *asked.replies))
    return Outcome((Reply(name, facts, (keep(scene.line), MENU)),))


def _top_choice(scene: Scene, finding: Finding) -> tuple[Choice, ...]:
    if finding.decision is Decision.ABSTAIN:
        return ()
    return (_entry_choice(finding.matches[0].entry, scene.language),)


def _entry_choice(entry: Entry, language: str) -> Choice:
    return Choice(f"ask:{entry.key}", entry.said(language).title)


def source(entry: Entry, language: str) -> Source:
    """The citation of an entry, pinned to its version."""
    said = entry.said(language)
    return Source(entry.key, entry.version, said.title, said.document, said.article)


def _answered(scene: Scene, entry: Entry, others: tuple[Entry, ...], *, cut: bool = False) -> Outcome:
    said = entry.said(scene.language)
    choices = [_entry_choice(other, scene.language) for other in others]
    project = scene.checklists.of_entry(entry.key)
    if project:
        name = "list_for_me" if project.conditions else "list_of_project"
        choices.insert(0, Choice(f"check:{project.key}", name, NO_FACTS))
    elif entry.key == "g15":
        choices.insert(0, CHECKLIST)
    reply = Reply(
        "answer",
        {"answer": said.answer.strip(), "cut": cut},
        (*choices, keep(scene.line, "not_my_question")),
        (source(entry, scene.language),),
    )
    return Outcome((reply,))


# -- checklists -------------------------------------------------------------------------------------------------------


def _checklist(scene: Scene, argument: str) -> Outcome:
    key, _, marks = argument.partition(":")
    project = scene.checklists.types.get(key)
    if project is None or set(marks) - {"y", "n"} or len(marks) > len(project.conditions):
        choices = tuple(Choice(f"check:{t.key}", t.name.said(scene.language)) for t in scene.checklists.types.values())
        return Outcome((Reply("checklist_type", {}, (*choices, CANCEL)),), flow={"name": "checklist"})
    answers = [mark == "y" for mark in marks]
    condition = project.next_question(answers)
    if condition:
        choices = (
            Choice(f"check:{key}:{marks}y", "yes", NO_FACTS),
            Choice(f"check:{key}:{marks}n", "no", NO_FACTS),
            Choice("check", "back", NO_FACTS),
        )
        facts = {"question": condition.ask.said(scene.language), "project": project.name.said(scene.language)}
        return Outcome(
            (Reply("checklist_question", facts, choices),), flow={"name": "checklist", "at": f"{key}:{marks}"}
        )
    return _documents(scene, project, answers)


def _documents(scene: Scene, project: ProjectType, answers: list[bool]) -> Outcome:
    facts = {
        "project": project.name.said(scene.language),
        "documents": [words.said(scene.language) for words in project.documents(answers)],
    }
    entries = [entry for key in project.entries if (entry := scene.entry(key))]
    sources = tuple(source(entry, scene.language) for entry in entries[:1])
    choices = (Choice("check", "other_project", NO_FACTS), PERSON, MENU)
    listed = Reply("checklist_documents", facts, choices, sources)
    return Outcome((*_application(scene), listed))


def _application(scene: Scene) -> tuple[Reply, ...]:
    """Where to apply and what to write, as the guide says it: the list comes on top of that."""
    entries = [entry for key in scene.checklists.application if (entry := scene.entry(key))]
    if not entries:
        return ()
    answer = "\n".join(entry.said(scene.language).answer.strip() for entry in entries)
    cited = tuple(source(entry, scene.language) for entry in entries)
    return (Reply("answer", {"answer": answer, "cut": False}, (), cited),)


def _checklist_asked(scene: Scene, text: str, finding: Finding) -> Outcome | None:
    """A question for the documents of one project type, where the list says more than the entry that was found."""
    project = scene.checklists.asked_for(text)
    if project is None or not any(match.entry.key in project.entries for match in finding.matches):
        return None
    answers = project.told(text)
    certain = len(answers) == len(project.conditions) > 0
    if finding.decision is Decision.ANSWER and not certain:
        return None
    return _checklist(scene, f"{project.key}:{''.join('ny'[answer] for answer in answers)}")


def _checklist_words(scene: Scene, text: str) -> Outcome | None:
    """Free text inside the checklist: a project type by its name, or yes and no. None = it is something else."""
    if _BACK.match(text.strip()):
        return _checklist(scene, "")
    key, _, marks = str(scene.flow.get("at") or "").partition(":")
    if project := scene.checklists.types.get(key):
        condition = project.next_question(marks)
        answer = condition.answered(text) if condition else None
        return None if answer is None else _checklist(scene, f"{key}:{marks}{'ny'[answer]}")
    chosen = scene.checklists.chosen(text)
    return _checklist(scene, f"{chosen.key}:{''.join('ny'[a] for a in chosen.told(text))}") if chosen else None


# -- words for a person -----------------------------------------------------------------------------------------------


def _message_flow(about: str) -> dict[str, Any]:
    return {"name": "message", "about": about}


def _message(scene: Scene, inbound: Inbound, heard: Heard) -> Outcome:
    if not inbound.files and heard.reading.intent == Intent.CANCEL and len(inbound.text) <= _SHORT:
        return _cancelled(scene)
    return _left(scene.line, str(scene.flow.get("about", "message")))


def _left(line: int, about: str, *, already: bool = False) -> Outcome:
    reply = Reply("message_left", {"number": f"LY{line}"}, (Choice(f"more:{line}", "write_more", NO_FACTS), MENU))
    return Outcome((reply,), effects=() if already else (Left(line, about),))


def _danger(scene: Scene) -> Outcome:
    told = scene.flow.get("about") == "danger"  # the advice has been given, and these are the details
    outcome = _left(scene.line, "danger") if told else Outcome((Reply("danger", {}, (CANCEL,)),))
    flow = {} if told else _message_flow("danger")
    return replace(outcome, flow=flow, effects=(Alarm(scene.line), Left(scene.line, "danger")))
