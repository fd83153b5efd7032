"""
Tokens for SASL/OAUTHBEARER: fixed, from a file, or from a token endpoint by the client credentials
grant.

Sources: KIP-255; KIP-768 for the settings; RFC 6749 section 4.4 for the grant.
"""

from __future__ import annotations

import asyncio
import base64
import time
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import msgspec
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from proxy.config import Settings

FETCH_TIMEOUT_S = 10
# A token is renewed after this part of its life. Source: KIP-255,
# `sasl.login.refresh.window.factor`.
REFRESH_AFTER = 0.8
# RFC 6749 only recommends `expires_in`; without it a token is used for this long.
ASSUMED_LIFE_S = 300


class _Grant(msgspec.Struct):
    access_token: str
    expires_in: int | None = None


class OAuthTokens(AbstractTokenProvider):
    """aiokafka asks for a token at each connect; a fetched one is kept for most of its life."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._token = ""
        self._renew_at = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def token(self) -> str:
        """The token to log in with. Raises AuthenticationFailedError when none can be had."""
        settings = self._settings
        if settings.sasl_oauth_token is not None:
            return settings.sasl_oauth_token.reveal()
        async with self._one_at_a_time:
            if time.monotonic() >= self._renew_at:
                try:
                    await asyncio.to_thread(self._renew)
                except (OSError, ValueError, HTTPException, msgspec.MsgspecError) as exc:
                    raise AuthenticationFailedError(f"No OAuth token: {exc}") from exc
            return self._token

    def _renew(self) -> None:
        settings = self._settings
        if settings.sasl_oauth_token_file is not None:
            self._token = Path(settings.sasl_oauth_token_file).read_text("utf-8").strip()
            return
        form = {"grant_type": "client_credentials"}
        if settings.sasl_oauth_scope is not None:
            form["scope"] = settings.sasl_oauth_scope
        secret = settings.sasl_oauth_client_secret
        # RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        credentials = ":".join(
            quote(part, safe="")
            for part in (
                settings.sasl_oauth_client_id or "",
                "" if secret is None else secret.reveal(),
            )
        )
        request = Request(  # noqa: S310 - the settings allow http and https only
            settings.sasl_oauth_token_endpoint_url or "",
            urlencode(form).encode(),
            {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()},
        )
        with urlopen(request, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 - see above
            grant = msgspec.json.decode(answer.read(), type=_Grant, strict=False)
        life_s = ASSUMED_LIFE_S if grant.expires_in is None else grant.expires_in
        self._token = grant.access_token
        self._renew_at = time.monotonic() + life_s * REFRESH_AFTER
