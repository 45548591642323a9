"""Every staff route × every role: what happens is what the permission table says, and no route is left undeclared."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from api.app import create_app
from api.callers import COOKIE, SAFE, Gate, requires
from api.services import Services
from desk import staff
from desk.permissions import ALLOWED, Permission, Role
from desk.store import Store
from tests.conftest import SetClock

# what works without signing in, each for a reason
OPEN: Final = {
    *(f"GET {path}" for path in ("/healthz", "/readyz", "/metrics")),  # for the machines that watch us
    *(f"GET {path}" for path in ("/docs", "/openapi.json", "/static")),
    "POST /telegram/webhook",  # has its own secret
    "POST /api/v1/sessions",  # signing in
    *(f"GET {path}" for path in ("/signin", "/signin/oidc", "/signin/oidc/callback")),
    "POST /signin",
}
CUSTOMERS: Final = (
    "/",
    "/chat",
    "/api/v1/chat/",
    "/api/v1/guide/questions",
    "/api/v1/guide/entries/",
)  # customers bring a chat token or nothing


@dataclass(frozen=True)
class Way:
    """One method on one path, and the gates in front of it."""

    method: str
    path: str
    gates: tuple[Gate, ...]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def open(self) -> bool:
        customers = any(
            self.path == known or (known[-1] == "/" != known and self.path.startswith(known)) for known in CUSTOMERS
        )
        return self.name in OPEN or customers

    def expected(self, role: Role | None, *, program: bool) -> str:
        """What the table says: 401, 403, or that the caller gets past the gates."""
        if self.open:
            return "passes"
        if role is None:
            return "401"
        refused = any(
            (gate.permission is not None and role not in ALLOWED[gate.permission]) or (gate.in_person and program)
            for gate in self.gates
        )
        return "403" if refused else "passes"


def gates(dependant: Dependant) -> Iterator[Gate]:
    """Every gate that runs before the endpoint."""
    if isinstance(dependant.call, Gate):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from gates(inner)


def ways(app: FastAPI) -> list[Way]:
    """Everything the application answers."""
    found = []
    for context in iter_route_contexts(app.routes):
        route: Any = context
        path = str(route.path)
        dependant = getattr(route, "dependant", None)
        known = tuple(gates(dependant)) if dependant else ()
        for method in sorted(getattr(route, "methods", None) or {"GET"}):
            if method != "HEAD":
                found.append(Way(method, path, known))
    return found


def undeclared(app: FastAPI) -> list[str]:
    """Routes that neither say who may use them nor are known to be open."""
    return [way.name for way in ways(app) if not way.gates and not way.open]


@pytest.fixture
def app(services: Services) -> FastAPI:
    return create_app(services)


@pytest.fixture
async def keys(store: Store, clock: SetClock) -> dict[tuple[Role, bool], dict[str, str]]:
    """For every role the headers of a person and of a program."""
    found: dict[tuple[Role, bool], dict[str, str]] = {}
    async with store.transaction() as db:
        for role in Role:
            member = await staff.add(db, role, role, hashed=None, by="test", at=clock.now())
            cookie = await staff.open_session(db, member, address="", device="", at=clock.now())
            _, token = await staff.create_token(db, role, role, by="test", at=clock.now())
            found[role, False] = {"Cookie": f"{COOKIE}={cookie}", "Origin": "http://greenline.test"}
            found[role, True] = {"Authorization": f"Bearer {token}"}
    return found


async def outcome(client: httpx.AsyncClient, way: Way, headers: dict[str, str]) -> str:
    """401 or 403 with our error codes, or past the gates. A number nobody has and an empty body change nothing."""
    path = re.sub(r"\{[^}]+\}", "999999999999", way.path)
    answer = await client.request(way.method, path, headers=headers | {"Accept": "application/json"})
    if answer.status_code == 401 and answer.json()["code"] == "not_signed_in":
        return "401"
    if answer.status_code == 403 and answer.json()["code"] == "not_permitted":
        return "403"
    assert answer.status_code < 500 or way.path == "/readyz", f"{way.name}: {answer.text}"
    return "passes"


async def test_every_route_says_who_may_use_it(app: FastAPI) -> None:
    assert undeclared(app) == []


async def test_a_new_staff_route_without_a_permission_is_found(app: FastAPI) -> None:
    router = APIRouter(prefix="/api/v1")

    @router.get("/secrets")
    async def forgotten() -> None: ...

    @router.get("/safe", dependencies=[requires(Permission.ERASE)])
    async def declared() -> None: ...

    outer = APIRouter()
    outer.include_router(router)
    app.include_router(outer)
    assert undeclared(app) == ["GET /api/v1/secrets"]


async def test_routes_open_to_everybody_are_listed_only_while_they_exist(app: FastAPI) -> None:
    real = {way.name for way in ways(app)}
    assert real >= OPEN


def test_somebody_has_every_permission() -> None:
    assert set(ALLOWED) == set(Permission)
    assert all(ALLOWED.values())


@pytest.mark.parametrize("program", [False, True], ids=["person", "program"])
@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role or "nobody")
async def test_every_route_answers_every_role_as_the_table_says(
    app: FastAPI, keys: dict[tuple[Role, bool], dict[str, str]], role: Role | None, program: bool, store: Store,
    clock: SetClock,
) -> None:  # fmt: skip
    headers = keys[role, program] if role else ({"Authorization": "Bearer gl_wrong"} if program else {})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    wrong = []
    async with httpx.AsyncClient(transport=transport, base_url="http://greenline.test") as client:
        for way in ways(app):
            # streams do not end; signing out would end the caller's own session
            if (
                way.open
                or way.path.endswith(("/stream", "/me/events"))
                or way.name in ("DELETE /api/v1/sessions/current", "POST /desk/signout")
            ):
                continue
            got, expected = await outcome(client, way, headers), way.expected(role, program=program)
            if got != expected:
                wrong.append(f"{way.name}: {got}, and the table says {expected}")
    assert wrong == []


async def test_a_cookie_alone_changes_nothing_from_another_site(
    app: FastAPI, keys: dict[tuple[Role, bool], dict[str, str]]
) -> None:
    headers = keys[Role.ADMIN, False] | {"Origin": "https://elsewhere.example", "Accept": "application/json"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://greenline.test") as client:
        guarded = [way for way in ways(app) if way.gates and way.method not in SAFE]
        assert guarded
        for way in guarded:
            answer = await client.request(way.method, re.sub(r"\{[^}]+\}", "1", way.path), headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin"), way.name


def test_the_expectation_itself_tells_roles_apart() -> None:
    way = Way("POST", "/x", (Gate(Permission.STAFF_MANAGE),))
    assert {role: way.expected(role, program=False) for role in (None, Role.AGENT, Role.ADMIN)} == {
        None: "401", Role.AGENT: "403", Role.ADMIN: "passes",
    }  # fmt: skip
    assert replace(way, gates=(Gate(None, in_person=True),)).expected(Role.ADMIN, program=True) == "403"


async def test_nobody_weakens_what_guards_staff_tokens_and_personal_data(app: FastAPI) -> None:
    guarded = {way.name: {gate.permission for gate in way.gates} for way in ways(app)}
    for name, permissions in guarded.items():
        path = name.partition(" /api/v1/")[2]
        if path.startswith("staff") and not path.startswith("staff/me/"):
            assert permissions == {Permission.STAFF_MANAGE}, name
        if path.startswith("tokens"):
            assert permissions == {Permission.TOKENS_MANAGE}, name
        if path.startswith("events"):
            assert permissions == {Permission.EVENTS_READ}, name
    assert guarded["GET /api/v1/access"] == {Permission.ACCESS_READ}
    assert guarded["POST /api/v1/accounts/{no}/reveal"] == {Permission.CUSTOMERS_REVEAL}
