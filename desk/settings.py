"""Settings from the environment or `.env`, prefix GREENLINE_."""

import json
import os
import re
import secrets
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from desk.errors import SetupError


class Settings(BaseSettings):
    """Everything an installation may set. `greenline check` lists the values and tries them."""

    model_config = SettingsConfigDict(env_prefix="GREENLINE_", env_file=".env", extra="ignore", env_ignore_empty=True)

    database_url: Annotated[SecretStr | None, Field(description="PostgreSQL to use; empty = embedded")] = None
    data_dir: Annotated[Path, Field(description="attachments, embedded database, caches")] = Path("data")
    port: Annotated[int, Field(ge=1, le=65535, description="HTTP port")] = 8000
    secret_key: Annotated[
        SecretStr | None, Field(min_length=16, description="encrypts second factors; empty = kept in the data folder")
    ] = None
    public_url: Annotated[str | None, Field(description="address customers use, for webhook and links")] = None
    telegram_token: Annotated[SecretStr | None, Field(description="bot token; empty = no Telegram")] = None
    telegram_webhook_secret: Annotated[SecretStr | None, Field(description="set = webhook, empty = polling")] = None
    telegram_api_url: Annotated[str, Field(description="server in front of /bot<token>/<method>")] = (
        "https://api.telegram.org"
    )
    timezone: Annotated[str, Field(description="IANA time zone of the service area")] = "Asia/Shanghai"
    locale: Annotated[str, Field(pattern="^(zh_CN|en)$", description="first language: zh_CN or en")] = "zh_CN"
    oidc_issuer: Annotated[
        str | None, Field(description="sign-in service (OpenID Connect); empty = passwords only")
    ] = None
    oidc_client_id: Annotated[str, Field(description="our name at the sign-in service")] = "greenline"
    oidc_client_secret: Annotated[SecretStr | None, Field(description="our password at the sign-in service")] = None
    oidc_role_claim: Annotated[
        str | None, Field(description="claim that says the role of a member of staff; empty = the staff list does")
    ] = None
    sms_url: Annotated[str | None, Field(description="SMS gateway that takes a POST; empty = to the log")] = None
    sms_body: Annotated[str, Field(description="body of the POST, with {phone} and {text}")] = (
        '{"phone": "{phone}", "text": "{text}"}'
    )
    sms_headers: Annotated[SecretStr | None, Field(description="headers of the POST, as a JSON object")] = None
    sms_success: Annotated[
        str, Field(description="words in the gateway's answer when it took the message; empty = any 2xx")
    ] = ""
    encoder: Annotated[
        str, Field(description="auto, full, lite, or the URL of an OpenAI-compatible /embeddings endpoint")
    ] = "auto"
    encoder_model: Annotated[str, Field(description="model name for an embeddings endpoint")] = "text-embedding"
    encoder_key: Annotated[SecretStr | None, Field(description="bearer key for an embeddings endpoint")] = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except Exception as error:
            raise ValueError("not an IANA time zone") from error
        return value

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _telegram_alphabet(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", value.get_secret_value()):
            raise ValueError("1-256 characters of A-Z a-z 0-9 _ -")
        return value

    @field_validator("telegram_token")
    @classmethod
    def _token_shape(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.fullmatch(r"\d+:[\w-]+", value.get_secret_value()):
            raise ValueError("looks like 123456:ABC-DEF")
        return value

    @field_validator("sms_body")
    @classmethod
    def _has_places(cls, value: str) -> str:
        if "{phone}" not in value or "{text}" not in value:
            raise ValueError("must contain {phone} and {text}")
        return value

    @field_validator("sms_headers")
    @classmethod
    def _named_headers(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            found = json.loads(value.get_secret_value()) if value else {}
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
            raise ValueError('looks like {"Authorization": "Bearer …"}')
        return value

    @field_validator("public_url", "telegram_api_url", "oidc_issuer", "sms_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value and not re.match(r"https?://[^\s/]+", value):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/") if value else value

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, value: str) -> str:
        if value not in ("auto", "full", "lite") and not re.match(r"https?://[^\s/]+", value):
            raise ValueError("auto, full, lite or an http(s) address")
        return value

    @cached_property
    def zone(self) -> ZoneInfo:
        """The service area's time zone."""
        return ZoneInfo(self.timezone)


def secret_key(config: Settings) -> str:
    """The configured key, or one made once and kept in the data folder."""
    if config.secret_key:
        return config.secret_key.get_secret_value()
    path = config.data_dir / "secret_key"
    config.data_dir.mkdir(parents=True, exist_ok=True)
    # the file appears complete or not at all, whoever of several processes makes it
    part = path.with_suffix(f".{os.getpid()}")
    if not path.exists():
        part.touch(mode=0o600)
        part.write_text(secrets.token_urlsafe(48))
        try:
            path.hardlink_to(part)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return path.read_text().strip()


def load(**overrides: Any) -> Settings:
    """Read settings; plain `PORT` and `DATA_DIR` are honoured too. Raises SetupError("bad_setting")."""
    for name in ("PORT", "DATA_DIR"):
        if os.environ.get(name) and not os.environ.get(f"GREENLINE_{name}"):
            overrides.setdefault(name.lower(), os.environ[name])
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "?"
        # a secret is never echoed back
        secret = any(word in name for word in ("TOKEN", "SECRET", "KEY", "DATABASE", "HEADERS"))
        shown = "…" if secret else str(first.get("input"))
        message = first["msg"].removeprefix("Value error, ")
        raise SetupError("bad_setting", name=f"GREENLINE_{name}", value=shown, problem=message) from None
