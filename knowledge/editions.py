"""Editions: everything an imported document says. Publishing one replaces what the document said before."""

from collections.abc import Iterable
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from knowledge import entries
from knowledge.entries import Draft
from knowledge.importer import Drafted


def _by_origin(drafted: Iterable[Drafted]) -> dict[str, dict[str, Draft]]:
    """Drafts by the document they come from and by key; one file may hold several documents."""
    documents: dict[str, dict[str, Draft]] = {}
    for each in drafted:
        documents.setdefault(f"import:{each.draft.document}", {})[each.key] = each.draft
    return documents


async def compare(db: AsyncSession, drafted: Iterable[Drafted]) -> dict[str, list[str]]:
    """What publishing would change: keys under new, changed, unchanged and withdrawn."""
    changes: dict[str, list[str]] = {"new": [], "changed": [], "unchanged": [], "withdrawn": []}
    for origin, drafts in _by_origin(drafted).items():
        for change, keys in (await entries.compare(db, drafts, origin=origin)).items():
            changes[change] += keys
    return changes


async def publish(db: AsyncSession, drafted: Iterable[Drafted], *, by: str, at: datetime) -> tuple[int, int]:
    """Answer from these entries once the transaction commits. Returns (written, withdrawn)."""
    written = withdrawn = 0
    for origin, drafts in _by_origin(drafted).items():
        more, gone = await entries.publish(db, drafts, origin=origin, by=by, at=at, complete=True)
        written, withdrawn = written + more, withdrawn + gone
    return written, withdrawn
