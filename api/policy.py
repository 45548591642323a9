"""The policy over HTTP: what is in force, what was published, and publishing."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field, model_validator

from api.callers import STORABLE, Caller, requires, signed_in
from api.services import Tx, Use
from desk import policy
from desk.permissions import Permission
from desk.policy import LONGEST_NOTE, Policy, PolicyVersion

router = APIRouter(prefix="/api/v1", tags=["policy"])
Reader = Annotated[Caller, signed_in]
Editor = Annotated[Caller, requires(Permission.POLICY_EDIT)]
LARGEST = 2**62


class PolicyView(BaseModel):
    """The policy in force as version `in_force`; `version` is the latest, which may begin later. 0 = the defaults."""

    version: int
    in_force: int
    document: Policy


class ChangeView(BaseModel):
    """One field that differs from the version before; `field` is dotted, as in queue.targets_s.A."""

    field: str
    before: Any
    after: Any


class VersionView(BaseModel):
    """A published version and what it changed."""

    version: int
    document: Policy
    changes: list[ChangeView]
    note: str
    by: str
    at: datetime
    effective_at: datetime


class VersionPage(BaseModel):
    """Versions, the latest first; `next` goes into `before`."""

    versions: list[VersionView]
    next: int | None


class NewPolicy(BaseModel):
    """`version` is the latest that the editor saw. Either the whole `document` (what it leaves out becomes the default)
    or nested `changes` to the latest one; `effective_at` is when it begins, at once if left out."""

    version: int = Field(ge=0, le=LARGEST)
    document: dict[str, Any] | None = None
    changes: dict[str, Any] | None = None
    note: str = Field(min_length=1, max_length=LONGEST_NOTE, pattern=STORABLE)
    effective_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.document is None) == (self.changes is None):
            raise ValueError("send document or changes")
        return self


@router.get("/policy")
async def in_force(caller: Reader, db: Tx, use: Use) -> PolicyView:
    """The numbers that hold now."""
    number, document = await policy.in_force(db, at=use.clock.now())
    return PolicyView(version=(await policy.latest(db))[0], in_force=number, document=document)


@router.get("/policy/versions")
async def versions(
    caller: Reader, db: Tx, before: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> VersionPage:  # fmt: skip
    """What was published, the latest first, with what each changed."""
    found = await history(db, before=before, limit=limit)
    more = len(found) == limit and found[-1].version > 1
    return VersionPage(versions=found, next=found[-1].version if more else None)


@router.put("/policy")
async def publish(new: NewPolicy, caller: Editor, db: Tx, use: Use) -> VersionView:
    """Publish a policy; every problem is named with its field, and who edited an old version gets a conflict."""
    changes = new.changes or {}
    if new.document is not None:
        changes = policy.propose(Policy(), new.document).model_dump(mode="json")
    made = await policy.publish(
        db, changes, version=new.version, note=new.note, by=caller.name, at=use.clock.now(),
        effective_at=new.effective_at,
    )  # fmt: skip
    [view] = await history(db, before=made.number + 1, limit=1)
    return view


async def history(db: Tx, *, before: int | None = None, limit: int = 20) -> list[VersionView]:
    """Versions with what each changed, the latest first."""
    found = await policy.versions(db, before=before, limit=limit + 1)
    documents = [Policy.model_validate(each.document) for each in found]
    documents.append(Policy())  # the first version changed the defaults
    return [_view(version, *documents[n : n + 2]) for n, version in enumerate(found[:limit])]


def _view(version: PolicyVersion, document: Policy, before: Policy) -> VersionView:
    changes = [ChangeView(**vars(change)) for change in policy.diff(before, document)]
    plain = {name: getattr(version, name) for name in ("note", "by", "at", "effective_at")}
    return VersionView(version=version.number, document=document, changes=changes, **plain)
