"""A small real OpenID Connect provider over HTTP, for tests: discovery, authorisation, token, keys. It checks what it gets."""

import asyncio
import base64
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "greenline", "the secret of our client"


@dataclass
class Provider:
    """Signs everybody in as `person` at once. What a test changes is what the provider gets wrong."""

    person: dict[str, Any] = field(default_factory=lambda: {"sub": "s-1", "preferred_username": "林岚"})
    wrong: dict[str, Any] = field(default_factory=dict)  # claims to put in instead of the right ones
    forged: bool = False  # sign with a key that is not published
    down: bool = False
    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    grants: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)  # why a token was not given

    def app(self) -> Starlette:
        """The provider's addresses."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", self.keys),
            ]
        )

    async def discovery(self, request: Request) -> Response:
        if self.down:
            return JSONResponse({}, status_code=503)
        return JSONResponse(
            {
                "issuer": self.wrong.get("issuer", self.issuer),
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT and asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"].split()
        assert len(asked["state"]) >= 16 and len(asked["nonce"]) >= 16
        code = secrets.token_urlsafe()
        self.grants[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        scheme, _, credentials = request.headers["authorization"].partition(" ")
        grant = self.grants.pop(form["code"], None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        problems = {
            "client": scheme != "Basic" or base64.b64decode(credentials).decode() != f"{CLIENT}:{SECRET}",
            "code": grant is None,
            "verifier": grant is not None and proof.decode() != grant["code_challenge"],
            "redirect": grant is not None and form["redirect_uri"] != grant["redirect_uri"],
        }
        if any(problems.values()):
            self.refused.append(next(name for name, problem in problems.items() if problem))
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        assert grant is not None
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": grant["nonce"]}
        claims |= self.person | self.wrong
        key = RSAKey.generate_key(2048, {"kid": "one"}) if self.forged else self.key
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)
        return JSONResponse({"access_token": "unused", "token_type": "Bearer", "id_token": signed, "expires_in": 300})

    async def keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})


@contextlib.asynccontextmanager
async def providing(provider: Provider) -> AsyncIterator[Provider]:
    """The provider behind a real server."""
    config = uvicorn.Config(provider.app(), port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    provider.issuer = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.should_exit = True
        await task
