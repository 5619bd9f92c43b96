"""Access tokens of an authorization server: a real one on loopback, with keys of its own, and every way to cheat it."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.support.stage import Stage, served, staged

from memmcp_server.adapters import jwt_grants
from memmcp_server.adapters.jwt_grants import JwtGrants
from memmcp_server.config import HttpSection
from memmcp_server.errors import InvalidInput

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O5")]
RESOURCE = "https://desk.example"
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
STRANGER = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
CURVE = ec.generate_private_key(ec.SECP256R1())


@dataclass
class Issuer:
    """An authorization server as far as a resource meets it."""

    url: str = ""
    keys: dict[str, Any] = field(default_factory=lambda: {"one": RSA})
    asked: int = 0
    is_down: bool = False

    def app(self) -> Starlette:
        def metadata(_request: Request) -> Response:
            if self.is_down:
                return Response(status_code=503)
            return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

        def keys(_request: Request) -> Response:
            self.asked += 1
            found = [{**public(key), "kid": name, "use": "sig"} for name, key in self.keys.items()]
            secret = {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "kid": "secret"}
            return JSONResponse({"keys": [*found, secret, {"kty": "?"}, "no key"]})

        return Starlette(routes=[Route("/.well-known/oauth-authorization-server", metadata), Route("/keys", keys)])

    def token(self, key: Any = RSA, kid: str = "one", algorithm: str = "RS256", **claims: Any) -> str:
        now = int(time.time())
        said = {
            "iss": self.url,
            "aud": RESOURCE,
            "sub": "somebody",
            "client_id": "claude-web",
            "scope": "memory:read memory:write",
            "iat": now,
            "exp": now + 300,
        } | claims
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid})


def public(key: Any) -> dict[str, Any]:
    algorithm: Any = jwt.algorithms.ECAlgorithm if key is CURVE else jwt.algorithms.RSAAlgorithm
    found: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return found


@dataclass
class Scene:
    issuer: Issuer
    stage: Stage

    async def status(self, token: str, method: str = "GET", path: str = "/memory/search?query=x") -> int:
        headers = {"Authorization": f"Bearer {token}"}
        body = {"json": {"content": "a fact"}} if method == "POST" else {}
        return (await self.stage.http.request(method, path, headers=headers, **body)).status_code  # type: ignore[arg-type]


@asynccontextmanager
async def a_scene(folder: Path) -> AsyncIterator[Scene]:
    issuer = Issuer()
    async with served(issuer.app()) as url:
        issuer.url = url
        section = HttpSection(tokens_required=True, public_url=RESOURCE, authorization_servers=(url,))
        verifier = JwtGrants(section.authorization_servers, RESOURCE)
        async with staged(folder, http=section, verifier=verifier) as stage:
            yield Scene(issuer, stage)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with a_scene(tmp_path) as opened:
        yield opened


async def test_a_client_without_a_token_is_told_where_to_get_one(scene: Scene) -> None:
    refused = await scene.stage.http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert refused.status_code == 401
    where = f"{RESOURCE}/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{where}"' in refused.headers["www-authenticate"]
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
        told = (await scene.stage.http.get(path)).json()
        assert told["resource"] == f"{RESOURCE}/mcp"
        assert told["authorization_servers"] == [scene.issuer.url]
        assert "memory:read" in told["scopes_supported"]
        assert "admin" not in told["scopes_supported"]


async def test_a_token_for_us_opens_what_its_scopes_say_under_its_clients_name(scene: Scene) -> None:
    token = scene.issuer.token()
    assert await scene.status(token) == 200
    bearer = {"Authorization": f"Bearer {token}"}
    order = {"side": "buy", "mint": "x" * 32, "amount_sol": "1", "reason": "why not"}
    async with (
        served(scene.stage.app) as url,
        httpx2.AsyncClient(headers=bearer) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode="legacy") as client,
    ):
        written = await client.call_tool("memory_write", {"content": "over OAuth"})
        traded = await client.call_tool("place_trade", order)
    memory = await scene.stage.services.memories.get(written.structured_content["id"])
    assert memory.provenance.agent == "claude-web"
    assert traded.is_error
    assert "trade:paper" in traded.content[0].text


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": f"{RESOURCE}/mcp"}, 200),
        ({"aud": ["https://other.example", RESOURCE]}, 200),
        ({"scope": None, "scp": ["memory:read"]}, 200),
        ({"aud": "https://other.example"}, 401),
        ({"aud": None}, 401),
        ({"iss": "https://other.example"}, 401),
        ({"exp": 1}, 401),
        ({"exp": None}, 401),
        ({"nbf": 9_999_999_999}, 401),
        ({"sub": None}, 401),
        ({"scope": ""}, 403),
        ({"scope": "everything"}, 403),
        ({"scope": 7}, 403),
        ({"scope": None, "scp": {"memory:read": True}}, 403),
    ],
)
async def test_what_a_token_says_is_checked(scene: Scene, claims: dict[str, Any], status: int) -> None:
    assert await scene.status(scene.issuer.token(**claims)) == status


async def test_who_reads_does_not_write_and_admin_is_not_the_issuers_to_give(scene: Scene) -> None:
    assert await scene.status(scene.issuer.token(scope="memory:read"), "POST", "/memory/write") == 403
    token = scene.issuer.token(scope="admin memory:read memory:write trade:paper trade:live")
    assert await scene.status(token, "GET", "/admin/status") == 403
    assert await scene.status(token, "POST", "/actions/resume") == 403


async def test_a_signature_of_another_key_or_of_none_opens_nothing(scene: Scene) -> None:
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = {"alg": "HS256", "typ": "JWT", "kid": "one"}
    good = scene.issuer.token()
    parts = good.split(".")
    confused = ".".join([b64(json.dumps(head).encode()), parts[1]])
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(confused.encode(), pem)
    for bad in (
        scene.issuer.token(STRANGER),
        scene.issuer.token(kid="unknown"),
        scene.issuer.token(b"x" * 32, "secret", "HS256"),
        f"{confused}.{b64(signature)}",
        ".".join([b64(b'{"alg":"none","kid":"one"}'), parts[1], ""]),
        ".".join([parts[0], parts[1], parts[2][:-4] + "AAAA"]),
        ".".join([parts[0], b64(b'{"iss":"' + scene.issuer.url.encode() + b'"}'), parts[2]]),
        "a.b.c",
        "..",
        "x" * 20_000,
    ):
        assert await scene.status(bad) == 401, bad[:60]
    assert await scene.status(good) == 200


async def test_a_new_key_is_found_and_strangers_do_not_make_us_ask_each_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await scene.status(scene.issuer.token()) == 200
    scene.issuer.keys["two"] = CURVE
    for _ in range(5):
        assert await scene.status(scene.issuer.token(CURVE, "two", "ES256")) == 401
    assert scene.issuer.asked == 1
    monkeypatch.setattr(jwt_grants, "RETRY_S", 0.0)
    assert await scene.status(scene.issuer.token(CURVE, "two", "ES256")) == 200
    assert scene.issuer.asked == 2


async def test_an_issuer_that_is_away_opens_nothing_new_and_known_keys_go_on(scene: Scene) -> None:
    scene.issuer.is_down = True
    assert await scene.status(scene.issuer.token()) == 401
    scene.issuer.is_down = False
    assert await scene.status(scene.issuer.token()) == 401  # asked a moment ago


@pytest.mark.parametrize("issuer", ["http://issuer.example", "ftp://x", "issuer"])
async def test_an_issuer_that_anybody_could_pose_as_is_refused(issuer: str) -> None:
    with pytest.raises(InvalidInput, match="must begin with https"):
        JwtGrants((issuer,), RESOURCE)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
