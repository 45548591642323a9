"""Signing in through the company's sign-in service: OpenID Connect, with state, nonce and PKCE, by configuration."""

import json
import warnings
from datetime import timedelta
from typing import Annotated, Any, Final

import httpx
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from joserfc.errors import JoseError

from api.callers import address_of, here, remember
from api.services import Services, Use
from desk import staff
from desk.errors import SignInBroken, Unavailable, UnknownPage
from desk.passwords import Vault
from desk.settings import secret_key

with warnings.catch_warnings():
    from authlib.deprecate import AuthlibDeprecationWarning  # type: ignore[import-untyped]

    # it would rather have another HTTP library, and says so to everybody
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
    from authlib.integrations.starlette_client import OAuth  # type: ignore[import-untyped]

router = APIRouter(prefix="/signin/oidc", include_in_schema=False)
COOKIE: Final = "greenline_oidc"  # what this browser began: state, nonce and verifier, encrypted
_PATIENCE: Final = timedelta(minutes=10)


def _service(request: Request, use: Services) -> Any:
    """Our client at the sign-in service, which it asks once for its addresses. Raises UnknownPage without one."""
    if use.settings.oidc_issuer is None:
        raise UnknownPage()
    if not hasattr(request.app.state, "oidc"):
        secret = use.settings.oidc_client_secret
        request.app.state.oidc = OAuth().register(
            "oidc",
            client_id=use.settings.oidc_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            server_metadata_url=f"{use.settings.oidc_issuer}/.well-known/openid-configuration",
            client_kwargs={"scope": "openid profile", "code_challenge_method": "S256", "timeout": 10},
        )
    return request.app.state.oidc


def _vault(use: Services) -> Vault:
    return Vault(secret_key(use.settings), "oidc")


@router.get("")
async def begin(request: Request, use: Use, wanted: Annotated[str | None, Query(alias="next")] = None) -> Response:
    """Go to the sign-in service, and later to the page that was wanted."""
    service = _service(request, use)
    base = use.settings.public_url or str(request.base_url).rstrip("/")
    request.scope["session"] = session = {"next": here(wanted)}
    try:
        answer: Response = await service.authorize_redirect(request, f"{base}/signin/oidc/callback")
    except (httpx.HTTPError, AuthlibBaseError, RuntimeError, ValueError) as error:
        raise Unavailable() from error
    answer.set_cookie(
        COOKIE, _vault(use).lock(json.dumps(session)), max_age=int(_PATIENCE.total_seconds()), path="/signin/oidc",
        httponly=True, secure=base.startswith("https://"), samesite="lax",
    )  # fmt: skip
    return answer


@router.get("/callback")
async def callback(request: Request, use: Use) -> Response:
    """The sign-in service sends the browser back here. Raises SignInBroken, UnlinkedSignIn, Unavailable."""
    service = _service(request, use)
    kept = _vault(use).unlock(request.cookies.get(COOKIE, ""), within=_PATIENCE)
    if kept is None:
        raise SignInBroken()
    request.scope["session"] = session = json.loads(kept)
    claims = await _claims(request, service, use)
    name = str(claims.get("preferred_username") or claims.get("name") or claims["sub"])
    async with use.store.transaction() as db:
        member = await staff.recognise(
            db, subject=str(claims["sub"]), name=name, roles=_roles(claims, use), at=use.clock.now()
        )
        device, address = request.headers.get("user-agent", ""), address_of(request)
        cookie = await staff.open_session(db, member, address=address, device=device, at=use.clock.now())
    answer = RedirectResponse(here(session["next"]), status_code=303)
    answer.delete_cookie(COOKIE, path="/signin/oidc")
    remember(answer, request, use, cookie)
    return answer


async def _claims(request: Request, service: Any, use: Services) -> dict[str, Any]:
    """What the service says about the person: signed by it, for us, for this very sign-in, not expired."""
    try:
        metadata = await service.load_server_metadata()
        issuer = str(metadata.get("issuer", ""))
        if issuer.rstrip("/") != use.settings.oidc_issuer:
            raise SignInBroken()
        token = await service.authorize_access_token(
            request, claims_options={"iss": {"essential": True, "value": issuer}}, leeway=60
        )
    except (AuthlibBaseError, JoseError, ValueError, KeyError) as error:
        raise SignInBroken() from error
    except (httpx.HTTPError, RuntimeError) as error:
        raise Unavailable() from error
    claims = token.get("userinfo")
    if not claims or not claims.get("sub") or len(str(claims["sub"])) > 255:
        raise SignInBroken()
    return dict(claims)


def _roles(claims: dict[str, Any], use: Services) -> list[str] | None:
    """The roles that the configured claim names; None when it is the staff list that says."""
    name = use.settings.oidc_role_claim
    if name is None:
        return None
    said: Any = claims
    for part in name.split("."):  # realm_access.roles
        said = said.get(part) if isinstance(said, dict) else None
    return [str(role) for role in (said if isinstance(said, list) else [said] if said else [])]
