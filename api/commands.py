"""Commands that administer: staff, tokens of programs, erasing personal data."""

import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlmodel.ext.asyncio.session import AsyncSession

import templates
from desk import passwords, retention, staff
from desk.attachments import Folder
from desk.clock import SystemClock
from desk.passwords import Passwords
from desk.permissions import Level, Role
from desk.settings import Settings
from desk.staff import Staff

Work = Callable[[AsyncSession, Settings], Awaitable[Any]]
RoleOption = Annotated[Role, typer.Option("--role", help="What they may do: see docs/PERMISSIONS.md.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Kept with the record of the erasure.")]


class Administer(Protocol):
    """Does work in one transaction on the configured database, and says plainly what prevents it."""

    def __call__(self, work: Work) -> tuple[Settings, Any]: ...


def _both(name: str) -> str:
    """A label in every language, before it is known which one is wanted."""
    return " / ".join(templates.label(name, language) for language in templates.LANGUAGES)


def install(cli: typer.Typer, administer: Administer, out: Console) -> None:
    """Add `staff`, `token` and `erase`."""
    clock = SystemClock()

    def say(text: str, config: Settings, **facts: Any) -> None:
        out.print(templates.render_text(text, config.locale, **facts), highlight=False, markup=False, soft_wrap=True)

    staff_cli = typer.Typer(no_args_is_help=True, help="Add, list and disable members of staff.")
    cli.add_typer(staff_cli, name="staff")

    @staff_cli.command("add")
    def add(
        name: Annotated[str, typer.Argument(help="What they sign in with and what the record shows.")],
        role: RoleOption,
        password_stdin: Annotated[
            bool, typer.Option("--password-stdin", help="Read the password from a line.")
        ] = False,
        service: Annotated[bool, typer.Option("--service", help="No password: they use the sign-in service.")] = False,
        level: Annotated[Level, typer.Option("--level", help="Of a manager: one area, or all.")] = Level.AREA,
    ) -> None:
        """Add a member of staff. Asks for a password on a terminal; elsewhere one is generated and shown once."""
        made, given = None, None
        if password_stdin:
            given = sys.stdin.readline().rstrip("\r\n")
        elif sys.stdin.isatty() and not service:
            given = typer.prompt(_both("staff_password"), hide_input=True, confirmation_prompt=_both("staff_again"))
        elif not service:
            given = made = passwords.generated()

        async def work(db: AsyncSession, config: Settings) -> None:
            hashed = await Passwords().hash(given) if given is not None else None
            by, at, language = getpass.getuser(), clock.now(), config.locale
            await staff.add(db, name, role, hashed=hashed, by=by, at=at, language=language, level=level)

        config, _ = administer(work)
        say("_staff_added", config, name=name, role=role, password=made)

    @staff_cli.command("list")
    def members() -> None:
        """Who is on the staff list."""

        async def work(db: AsyncSession, config: Settings) -> list[Staff]:
            return await staff.members(db, limit=100_000)

        config, found = administer(work)
        table = Table(box=None, pad_edge=False)
        for column in ("name", "role", "second_factor", "disabled"):
            table.add_column(templates.label(f"staff_{column}", config.locale))
        for member in found:
            ended = member.disabled_at.astimezone(config.zone).strftime("%Y-%m-%d %H:%M") if member.disabled_at else ""
            # as plain text: a name may contain [brackets] that mean something to the terminal
            cells = (member.name, member.role, "✓" if member.totp_step is not None else "", ended)
            table.add_row(*map(Text, cells))
        out.print(table)

    @staff_cli.command("disable")
    def disable(name: Annotated[str, typer.Argument(help="As `staff list` shows it.")]) -> None:
        """Nobody signs in as this member any more; every session of theirs ends at once."""

        async def work(db: AsyncSession, config: Settings) -> str:
            member = await staff.member(db, (await staff.by_name(db, name)).id or 0)
            await staff.disable(db, member, by=getpass.getuser(), at=clock.now())
            return member.name

        config, found = administer(work)
        say("_staff_disabled", config, name=found)

    token_cli = typer.Typer(no_args_is_help=True, help="Tokens of programs that call the API.")
    cli.add_typer(token_cli, name="token")

    @token_cli.command("create")
    def create(
        role: RoleOption,
        name: Annotated[str, typer.Option("--name", help="Which program; events show it.")],
        days: Annotated[int | None, typer.Option("--days", min=1, max=3660, help="Expires after; else never.")] = None,
    ) -> None:
        """Make a token; it stands alone on the last line and is shown this once."""

        async def work(db: AsyncSession, config: Settings) -> str:
            by, at = getpass.getuser(), clock.now()
            _, plain = await staff.create_token(db, name, role, by=by, at=at, days=days)
            return plain

        config, plain = administer(work)
        say("_token_made", config, name=name, role=role, days=days)
        typer.echo(plain)

    @cli.command("erase")
    def erase(
        reason: ReasonOption,
        contact: Annotated[int | None, typer.Option("--contact", min=1, help="Number of the contact.")] = None,
        account: Annotated[str | None, typer.Option("--account", help="Number of the account.")] = None,
    ) -> None:
        """Erase the personal data of a contact or of an account's holder for good; the ledger stays anonymous."""
        if (contact is None) == (account is None):
            raise typer.BadParameter("--contact ID | --account NO")

        async def work(db: AsyncSession, config: Settings) -> bool:
            storage = Folder(config.data_dir / "attachments")
            facts: dict[str, Any] = {"reason": reason, "by": getpass.getuser(), "at": clock.now()}
            if contact is not None:
                return await retention.erase_contact(db, storage, contact, **facts)
            return await retention.erase_account(db, storage, account or "", **facts)

        config, done = administer(work)
        say("_erased", config, subject=account or contact, done=done)
