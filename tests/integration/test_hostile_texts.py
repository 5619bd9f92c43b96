"""Texts that nobody means well by, in every field of every route: stored as they are or refused by name, never a fault.

What the page makes of them is in ``tests/browser/test_page_hostile.py``.
"""

import json
import types
import typing
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel
from tests.support.stage import OPERATOR_TOKEN, Stage, staged

from memmcp_server.config import HttpSection
from memmcp_server.web.app import api_routes
from memmcp_server.web.guard import guard_policy
from memmcp_server.web.routing import ApiRoute

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O5")]

OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}", "Content-Type": "application/json"}
TEXTS = {
    "markup": "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "nul": "a\x00b",
    "half a pair": "a\ud800b",
    "bidi": "\u202egnihsihp\u2066\u200b\ufeff",
    "long": "x" * 100_000,
    "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "query": "') OR 1=1 --\" NEAR( * ^ {",
    "path": "../../../../etc/passwd%00",
    "template": "{{7*7}}${7*7}%s%n{0.__class__}",
    "lines": "a\r\nSet-Cookie: x=1\r\n\r\nb\x1b[2J",
}
AWAY = {"/login", "/logout", "/admin/stop", "/events"}
"""What ends sessions, the daemon, or does not end itself."""


def takes_text(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return any(takes_text(each) for each in typing.get_args(annotation))
    return annotation is str or annotation is Any or origin is dict


def holds_texts(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return any(holds_texts(each) for each in typing.get_args(annotation))
    return origin in (list, tuple) and any(takes_text(each) for each in typing.get_args(annotation))


def valid_for(name: str, annotation: Any) -> Any:
    """A value that passes for the field where this test knows one: what is hostile must get as far as it can."""
    known: dict[str, Any] = {
        "reason": "because",
        "content": "a note",
        "query": "note",
        "text": "an answer",
        "title": "a task",
        "kind": "note",
        "ids": ["x"],
        "money": "paper",
        "desk_id": "outside",
        "key": "k",
        "ts": "2026-03-01T00:00:00Z",
        "equity_lamports": 5,
        "rule": "drawdown",
        "until": "2026-03-01T00:00:00Z",
        "code": "c",
        "token": "BONK",
        "question": "is it well?",
    }
    if name in known:
        return known[name]
    return [] if holds_texts(annotation) else "x" if takes_text(annotation) else 1


def hostile_bodies(model: type[BaseModel], text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each field that takes a text, with a body in which it holds this one and the rest is valid."""
    required = {name: field for name, field in model.model_fields.items() if field.is_required()}
    valid = {name: valid_for(name, field.annotation) for name, field in required.items()}
    for name, field in model.model_fields.items():
        if takes_text(field.annotation):
            yield name, {**valid, name: text}
        if holds_texts(field.annotation):
            yield name, {**valid, name: [text]}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path, http=HttpSection(body_bytes_max=1_048_576)) as opened:
        yield opened


def table_of(stage: Stage) -> list[ApiRoute]:
    policy = guard_policy(stage.sections.http, OPERATOR_TOKEN)
    return [row for row in api_routes(stage.services, stage.app.state.live, policy) if row.path not in AWAY]


def is_sound(response: httpx2.Response) -> bool:
    """Refused or done, said in JSON; 503 is a part that this stage does not have."""
    if response.status_code == 503:
        return bool(response.json()["error"]["code"].endswith("unavailable"))
    return response.status_code < 500


@pytest.mark.parametrize("name", TEXTS)
async def test_no_field_of_any_body_makes_a_fault(stage: Stage, name: str) -> None:
    asked = 0
    for row in table_of(stage):
        if row.body is None:
            continue
        path = row.path.replace("{name}", "stop-entries").replace("{id}", "x")
        for field, body in hostile_bodies(row.body, TEXTS[name]):
            response = await stage.http.request(row.method, path, content=json.dumps(body), headers=OPERATOR)
            assert is_sound(response), (row.method, path, field, response.text[:300])
            asked += 1
    assert asked > 40


@pytest.mark.parametrize("name", TEXTS)
async def test_no_query_and_no_part_of_a_path_makes_a_fault(stage: Stage, name: str) -> None:
    text = TEXTS[name].encode("utf-8", "surrogatepass")
    quoted = "".join(f"%{byte:02X}" for byte in text[:8_000])
    asked = 0
    for row in table_of(stage):
        if row.method != "GET":
            continue
        targets = [row.path.replace("{id}", quoted)] if "{" in row.path else []
        fields = row.query.model_fields if row.query else {}
        targets += [f"{row.path.replace('{id}', 'x')}?{field}={quoted}" for field in fields]
        for target in targets:
            response = await stage.http.get(target, headers=OPERATOR)
            assert is_sound(response), (target[:200], response.text[:300])
            asked += 1
    assert asked > 40


@pytest.mark.parametrize("name", TEXTS)
async def test_no_header_of_a_caller_makes_a_fault(stage: Stage, name: str) -> None:
    value = TEXTS[name].encode("utf-8", "surrogatepass").replace(b"\r", b"").replace(b"\n", b"")[:20_000]
    for header in ("X-Memmcp-Agent", "Idempotency-Key", "X-Request-Id", "Last-Event-Id", "Cookie", "Authorization"):
        headers = [(b"content-type", b"application/json"), (header.lower().encode(), value)]
        response = await stage.http.post("/memory/write", content=b'{"content": "x"}', headers=headers)
        assert is_sound(response), (header, response.text[:300])
