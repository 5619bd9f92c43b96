"""Two hundred secrets are sent through every door of a real daemon: none is in any file afterwards, all else is."""

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.doubles.planted_secrets import Planted, harmless_texts, planted_secrets
from tests.support.agents import Agent, http_client, until
from tests.support.residues import texts_in

from memmcp_server.cli.client import Failed

pytestmark = [pytest.mark.system, pytest.mark.requirement("M12"), pytest.mark.timeout(180)]
SECRETS = 200
HARMLESS = 2_000
KINDS_MIN = 12
PIECE_CHARS = 14
HEAD_BYTES = 8
REPORT = {"desk_id": "bot", "key": "k", "ts": "2026-01-01T00:00:00Z", "money": "paper", "equity_lamports": 1}


@pytest.fixture
def agent(data_dir: Path) -> Iterator[Agent]:
    one = Agent(data_dir, name="claude")
    one.initialize()
    yield one
    one.close()


def line(number: int, content: str) -> dict[str, object]:
    """Return a memory as an export has it."""
    return {
        "type": "memory",
        "id": f"brought-{number}",
        "namespace": "brought",
        "kind": "note",
        "content": content,
        "tags": [],
        "metadata": {"said": content},
        "agent": "old",
        "session": "",
        "tool": "",
        "source": "",
        "trust": "agent",
        "ts": "2026-01-01T00:00:00Z",
        "expires_at": None,
        "trajectory_id": None,
        "embed": True,
    }


def refused_by_tool(agent: Agent, text: str, where: int) -> None:
    """Send the text in one of the places a tool has; it must come back refused and not be repeated."""
    calls = (
        ("memory_write", {"content": text}),
        ("memory_write", {"content": "a note", "metadata": {"wallet": {"seen": text}}}),
        ("trajectory", {"action": "open", "title": "a session", "metadata": {"note": text}}),
    )
    name, arguments = calls[where % len(calls)]
    answer = agent.request("tools/call", {"name": name, "arguments": arguments})["result"]
    assert answer["isError"], (name, text)
    assert "secret_refused" in json.dumps(answer), answer


def refused_by_route(data_dir: Path, text: str, where: int) -> None:
    client = http_client(data_dir)
    path, body = (
        ("/memory/write", {"content": text}),
        ("/memory/write", {"content": "a note", "metadata": {"list": ["x", text]}}),
        ("/telemetry/trading", {**REPORT, "detail": {"note": text}}),
    )[where % 3]
    with pytest.raises(Failed, match="secret"):
        client.post(path, body)


def pieces_of(planted: Planted) -> list[bytes]:
    """Return pieces of the secret that stand nowhere by chance: its beginning, middle and end."""
    secret = planted.secret
    middle = max(0, len(secret) // 2 - PIECE_CHARS // 2)
    return [piece.encode() for piece in (secret[:PIECE_CHARS], secret[middle:][:PIECE_CHARS], secret[-PIECE_CHARS:])]


def in_base64(piece: bytes) -> list[bytes]:
    """Return what a piece looks like inside of base64, at each of its three places."""
    return [base64.b64encode(b"\0" * shift + piece)[4:-4] for shift in range(3)]


def holders(data_dir: Path, pieces: dict[bytes, str]) -> dict[str, set[str]]:
    """Return for each name those files that hold one of its pieces, raw, as UTF-16, in base64 or packed."""
    forms: dict[bytes, list[tuple[bytes, str]]] = {}
    for piece, name in pieces.items():
        wide = piece.decode(errors="ignore").encode("utf-16-le")
        for form in (piece, wide, *in_base64(piece)):
            if len(form) >= HEAD_BYTES:
                forms.setdefault(form[:HEAD_BYTES], []).append((form, name))
    heads = np.unique(np.frombuffer(b"".join(forms), dtype=np.uint64))
    found: dict[str, set[str]] = {}
    for path, data in texts_in(data_dir):
        for place in places_of(heads, data):
            for form, name in forms[data[place : place + HEAD_BYTES]]:
                if data.startswith(form, place):
                    found.setdefault(name, set()).add(path)
    return found


def places_of(heads: "np.ndarray[Any, Any]", data: bytes) -> Iterator[int]:
    """Yield where eight bytes begin that one of the forms begins with: thousands of them, sought at once."""
    for shift in range(HEAD_BYTES):
        whole = (len(data) - shift) // HEAD_BYTES
        if whole > 0:
            words = np.frombuffer(data, dtype=np.uint64, count=whole, offset=shift)
            for place in np.flatnonzero(np.isin(words, heads)):
                yield int(place) * HEAD_BYTES + shift


def test_no_secret_reaches_a_file_and_what_only_looks_like_one_passes_untouched(data_dir: Path, agent: Agent) -> None:
    secrets = planted_secrets(SECRETS, seed=77)
    assert len({planted.kind for planted in secrets}) >= KINDS_MIN
    harmless = harmless_texts(HARMLESS, seed=78)
    for number, planted in enumerate(secrets):
        if number % 3 == 0:
            refused_by_tool(agent, planted.text, number // 3)
        elif number % 3 == 1:
            refused_by_route(data_dir, planted.text, number // 3)
    client = http_client(data_dir)
    brought = [line(number, planted.text) for number, planted in enumerate(secrets) if number % 3 == 2]
    answer = client.post("/admin/import", {"lines": brought})
    assert answer["redacted"] == len(brought)
    for start in range(0, HARMLESS, 200):
        texts = harmless[start : start + 200]
        answer = client.post(
            "/admin/import", {"lines": [line(10_000 + start + n, each) for n, each in enumerate(texts)]}
        )
        assert (answer["taken"], answer["redacted"]) == (len(texts), 0)
    for number, text in enumerate(random.Random(5).sample(harmless, 100)):
        assert agent.call("memory_write", content=text, namespace="sent", metadata={"n": number})["durable"]
    until(lambda: client.get("/admin/status")["outbox"]["qdrant"]["pending"] == 0, 60)

    kept = [each["content"] for each in exported(client)]
    assert set(harmless) <= set(kept)
    pieces = {piece: f"secret {n}" for n, planted in enumerate(secrets) for piece in pieces_of(planted)}
    control = {text.encode()[:40]: f"control {n}" for n, text in enumerate(harmless) if len(text) > 60}
    found = holders(data_dir, {**pieces, **control})
    assert {name: files for name, files in found.items() if name.startswith("secret")} == {}
    missed = [name for name in control.values() if name not in found]
    assert missed == []


def exported(client: object) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    cursor: str | None = None
    while True:
        page = client.get("/admin/export", {"part": "memories", "cursor": cursor})  # type: ignore[attr-defined]
        lines += page["lines"]
        cursor = page["next_cursor"]
        if cursor is None:
            return lines
