"""Typed errors with facts and no prose; `templates` holds the words for every class."""

from typing import Any


class DeskError(Exception):
    """Base of all expected failures. `facts` are shown to people by the wording layer."""

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        super().__init__(f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in facts.items())})")

    @property
    def code(self) -> str:
        """Stable machine name, for example `unknown_entry`."""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class NotFound(DeskError):
    """The thing asked for does not exist."""


class NotAllowed(DeskError):
    """The caller may not do this."""


class Conflict(DeskError):
    """The state of the thing forbids this now."""


class Invalid(DeskError):
    """The input cannot be used as it is."""


class Unavailable(DeskError):
    """Something needed is not working at the moment."""


class UnknownPage(NotFound):
    """No page or resource at this address."""


class UnknownEntry(NotFound):
    """The guide has no such entry or version. Facts: key."""


class UnknownSession(NotAllowed):
    """The chat token is missing, wrong or expired."""


class UnknownAttachment(NotFound):
    """No such attachment in this conversation."""


class UnknownAccount(NotFound):
    """No such account, or none that the caller may know of."""


class UnknownArea(NotFound):
    """No such area. Facts: name."""


class UnknownStaff(NotFound):
    """No such member of staff. Facts: name."""


class NotSignedIn(NotAllowed):
    """A member of staff must sign in first, or the token is wrong, expired or revoked."""


class WrongSignIn(NotAllowed):
    """Name, password or code is wrong."""


class CodeNeeded(NotAllowed):
    """The password is right, and a one-time code is asked for besides."""


class UnlinkedSignIn(NotAllowed):
    """The sign-in service knows this person, the staff list does not. Facts: name."""


class SignInBroken(NotAllowed):
    """Signing in through the sign-in service did not come to an end: too late, cancelled, or not begun here."""


class SignInLocked(NotAllowed):
    """Too many wrong tries. Facts: retry_after in seconds."""


class NotPermitted(NotAllowed):
    """The role does not allow this. Facts: permission."""


class UnknownSignIn(NotFound):
    """No such session of a member of staff, or it has ended."""


class UnknownToken(NotFound):
    """No such token, or it is revoked."""


class UnknownContact(NotFound):
    """No such contact."""


class LastAdmin(Conflict):
    """The last administrator cannot be disabled."""


class WeakPassword(Invalid):
    """The password is too easy. Facts: shortest in characters."""


class BadName(Invalid):
    """A name of staff that cannot be used."""


class ForeignOrigin(NotAllowed):
    """The request comes from a page of another site."""


class NameTaken(Conflict):
    """Somebody has this name already. Facts: name."""


class Frozen(Conflict):
    """The classification of this year is confirmed and cannot change. Facts: year."""


class NoPurchases(Conflict):
    """There are no purchases to classify by. Facts: year."""


class WrongMethod(Invalid):
    """This address exists, but not for this HTTP method."""


class UnknownClassification(NotFound):
    """Nothing has been proposed for this year. Facts: year."""


class ReasonMissing(Invalid):
    """This needs a reason that others can read later."""


class WrongRole(Invalid):
    """This member of staff cannot take on this duty. Facts: name."""


class WrongSecret(NotAllowed):
    """The webhook secret header is missing or wrong."""


class MoveNotAllowed(Conflict):
    """The state machine has no such action in this state. Facts: state, action."""


class EmptyMessage(Invalid):
    """A message needs text, a choice, an attachment or a location."""


class BadInput(Invalid):
    """A request does not have the right shape. Facts: problems = list of (where, kind, limit), kinds as Pydantic's."""


class BadPolicy(BadInput):
    """A policy that cannot be: facts as in BadInput, with kinds of its own besides."""


class PolicyChanged(Conflict):
    """Somebody else has published a policy meanwhile. Facts: version = the number that is the latest now."""


class NothingChanged(Invalid):
    """What was sent is what is there already."""


class UnknownWait(NotFound):
    """No such wait in the queue."""


class UnknownConversation(NotFound):
    """No such conversation."""


class UnknownPromise(NotFound):
    """No such promise."""


class UnknownAlarm(NotFound):
    """No such alarm."""


class NotAtDesk(Conflict):
    """Whoever should take customers is not online."""


class NoCapacity(Conflict):
    """The agent holds as many customers as they can take. Facts: load, capacity."""


class EntryTaken(Conflict):
    """This customer is somebody else's by now. Facts: by = their name, or empty."""


class OutOfTurn(Conflict):
    """A customer of the green channel is ahead. Facts: rank."""


class NotYours(Conflict):
    """The conversation, or the offer, is not the caller's (any more)."""


class NewerUnseen(Conflict):
    """The customer has written something that the agent has not seen. Facts: newest = the number of that line."""


class UnknownCanned(NotFound):
    """No such canned reply."""


class Stormy(Conflict):
    """Storm mode is on already."""


class TooLate(Conflict):
    """The message has left already."""


class UnknownQuestion(NotFound):
    """No such question on the learning list."""


class UnknownChange(NotFound):
    """No such change on the learning list."""


class AlreadyDecided(Conflict):
    """Somebody else has decided about this question or change, or is about to."""


class StillTrying(Conflict):
    """A change of the guide has not been tried on the regression questions yet."""


class FourEyes(NotAllowed):
    """A new entry of the guide must be published by another person who may review."""


class BreaksAnswers(NotAllowed):
    """The change makes answers worse; only a reviewer may publish it."""


class NoQuestion(Invalid):
    """There is no question left to learn from."""


class BodyTooLarge(Invalid):
    """The request is larger than allowed. Facts: limit in bytes."""


class UnsupportedFile(Invalid):
    """This kind of file is not accepted. Facts: name."""


class UnreadableSheet(Invalid):
    """A table file that cannot be read. Facts: name, problem = empty, encoding, damaged, password or too_large."""


class MissingColumns(Invalid):
    """A table file lacks columns that nothing works without. Facts: columns = their titles."""


class RepeatedColumns(Invalid):
    """Two columns of a table file mean the same. Facts: columns = their titles."""


class BadCell(Invalid):
    """A cell of a table file that means nothing. Facts: name of the file, line, column, value."""


class UnknownImport(NotFound):
    """No such import of a file."""


class BadCursor(Invalid):
    """The `after` value was not issued by this service."""


class TooManyRequests(Unavailable):
    """The caller is sending too fast. Facts: retry_after in seconds."""


class GuideLoading(Unavailable):
    """The guide index is not ready yet."""


class DatabaseDown(Unavailable):
    """The database does not answer."""


class Unexpected(Unavailable):
    """Anything that was not foreseen; the log has the details under the reference. Facts: reference."""


class SetupError(Exception):
    """The program cannot start. `reason` names a sentence in `templates`, `facts` fill it."""

    def __init__(self, reason: str, **facts: Any) -> None:
        self.reason = reason
        self.facts = facts
        super().__init__(reason)
