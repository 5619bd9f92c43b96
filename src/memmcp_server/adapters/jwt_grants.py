"""Access tokens of an authorization server (OAuth 2.1, JWT by RFC 9068), for a daemon that is reached from elsewhere.

A token counts only if one of the configured issuers signed it for this very resource: its audience is our own address,
so a token that was made for another server opens nothing here, and none of ours is handed on. The issuer's keys are
found by its metadata (RFC 8414) and kept for a while; one that is away opens nothing new.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import httpx2
import jwt

from memmcp_server.domain.grants import Grant, Scope
from memmcp_server.errors import InvalidInput

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
"""Signatures with a private key alone: a shared secret, or none, proves nothing of who signed."""

KEYS_AGE_S: Final = 600.0
RETRY_S: Final = 30.0
"""An unknown key, or an issuer that is away, is asked about again no sooner than that."""

TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 262_144
TOKEN_CHARS_MAX: Final = 16_384
LEEWAY_S: Final = 30
NAME_CHARS_MAX: Final = 128
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_METADATA: Final = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


@dataclass(slots=True)
class _Issuer:
    url: str
    keys: Mapping[str, jwt.PyJWK]
    asked_s: float = float("-inf")


class JwtGrants:
    """``resource``: our own address, which a token must name as its audience.

    Raises: InvalidInput for an address that anybody could pose as: anything but https, except on this machine.
    """

    def __init__(
        self, issuers: tuple[str, ...], resource: str, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        for field, url in (("http.public_url", resource), *(("http.authorization_servers", each) for each in issuers)):
            parts = urlsplit(url)
            if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
                msg = f"{field}: {url[:200]!r} must begin with https://"
                raise InvalidInput(msg, field=field)
        self.resource = resource
        self._issuers = {each.rstrip("/"): _Issuer(each.rstrip("/"), {}) for each in issuers}
        self._transport = transport
        self._asking = anyio.Lock()

    async def verify(self, token: str) -> Grant | None:
        """Return what the token allows, None for one that does not count, or whose issuer cannot be asked."""
        if not looks_like_jwt(token):
            return None
        try:
            head = jwt.get_unverified_header(token)
            said = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError):
            return None
        issuer = self._issuers.get(str(said.get("iss", "")).rstrip("/"))
        if issuer is None or head.get("alg") not in ALGORITHMS:
            return None
        key = await self._key(issuer, str(head.get("kid", "")))
        if key is None or (key.algorithm_name and key.algorithm_name != head["alg"]):
            return None
        try:
            claims = jwt.decode(
                token,
                key=key,
                algorithms=[head["alg"]],
                audience=[self.resource, f"{self.resource.rstrip('/')}/mcp"],
                issuer=said["iss"],
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        return _grant_of(claims)

    async def _key(self, issuer: _Issuer, key_id: str) -> jwt.PyJWK | None:
        async with self._asking:
            age_s = time.monotonic() - issuer.asked_s
            if age_s >= KEYS_AGE_S or (key_id not in issuer.keys and age_s >= RETRY_S):
                issuer.asked_s = time.monotonic()
                found = await self._ask(issuer.url)
                if found is not None:
                    issuer.keys = found
        return issuer.keys.get(key_id)

    async def _ask(self, issuer: str) -> dict[str, jwt.PyJWK] | None:
        """Return the issuer's keys by their ids, None where it does not say what it should."""
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT_S, transport=self._transport) as http:
                for path in _METADATA:
                    metadata = await _document(http, f"{issuer}{path}")
                    if metadata is not None and str(metadata.get("issuer", "")).rstrip("/") == issuer:
                        keys = await _document(http, str(metadata["jwks_uri"]))
                        return None if keys is None else _keys(keys)
        except (httpx2.HTTPError, httpx2.InvalidURL, KeyError):
            return None
        return None


def looks_like_jwt(token: str) -> bool:
    return token.count(".") == 2 and len(token) <= TOKEN_CHARS_MAX


async def _document(http: httpx2.AsyncClient, url: str) -> dict[str, Any] | None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        return None
    async with http.stream("GET", url) as answer:
        if answer.status_code != httpx2.codes.OK:
            return None
        content = b""
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > ANSWER_BYTES_MAX:
                return None
    try:
        document = httpx2.Response(200, content=content).json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _keys(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """Return the keys that can be used; a key of a kind that nobody here knows is left out."""
    found: dict[str, jwt.PyJWK] = {}
    listed = document.get("keys")
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict) or each.get("use", "sig") != "sig" or each.get("kty") == "oct":
            continue
        try:
            found[str(each.get("kid", ""))] = jwt.PyJWK(each)
        except (jwt.PyJWTError, ValueError, KeyError):
            continue
    return found


def _grant_of(claims: Mapping[str, Any]) -> Grant:
    """Return the grant of a token. What only the operator may do is not an authorization server's to give."""
    given = claims.get("scope") or claims.get("scp")
    listed = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
    words = [each for each in listed if isinstance(each, str)]
    known = {scope.value: scope for scope in Scope if scope is not Scope.ADMIN}
    who = next((claims[name] for name in ("client_id", "azp", "sub") if isinstance(claims.get(name), str)), "oauth")
    agent = "".join(char for char in who if char.isprintable()).strip()[:NAME_CHARS_MAX]
    return Grant(f"of {agent}", frozenset(known[each] for each in words if each in known), agent)
