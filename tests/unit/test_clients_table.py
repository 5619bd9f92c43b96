"""The table of real clients: what counts as a failure, and how it is told."""

import copy
from typing import Any

import pytest
from scripts.clients import TOOLS, Client, ClientFailed, Outcome, check, one, table

JOB: dict[str, Any] = {"note": "a note", "other": {"id": "mem_other", "content": "another's note"}}
SAW: dict[str, Any] = {
    "protocol": "2025-11-25",
    "first_result_ms": 12.3,
    "tools": TOOLS,
    "written": {"id": "mem_own", "durable": True},
    "found": {"hits": [{"id": "mem_own"}]},
    "found_text": "mem_own a note",
    "other": {"hits": [{"id": "mem_other"}]},
    "preview": {"status": "preview", "money": "paper", "preview_id": "pre_1", "message": ""},
    "refused": {"is_error": True, "text": "limit: 0 is below 1"},
    "resource": {"money": "paper"},
    "data": True,
}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("tools", [], "tools"),
        ("written", {"id": "mem_own", "durable": False}, "durable"),
        ("found", {"hits": []}, "its own memory"),
        ("found_text", "nothing", "text and data differ"),
        ("other", {"hits": []}, "the other's memory"),
        ("preview", {"status": "denied", "money": "paper", "preview_id": "p", "message": "held"}, "preview: held"),
        ("preview", {"status": "preview", "money": "real", "preview_id": "p"}, "does not say paper"),
        ("preview", {"status": "preview", "money": "paper"}, "no preview_id"),
        ("refused", {"is_error": False, "text": "limit"}, "wrong argument"),
        ("refused", {"is_error": True, "text": "no"}, "wrong argument"),
        ("resource", {"money": "real"}, "resource"),
    ],
)
def test_each_step_that_went_wrong_fails_the_client_by_name(name: str, value: Any, told: str) -> None:
    check(SAW, JOB)
    with pytest.raises(ClientFailed, match=told):
        check({**SAW, name: value}, JOB)


def test_a_client_that_did_every_step_hands_its_memory_to_the_next() -> None:
    client = Client("some client 1.0", lambda _transport, _job: copy.deepcopy(SAW))
    outcome, other = one(client, "http", JOB, lambda: "sim:ALFA")
    assert outcome == Outcome("some client 1.0", "http", "2025-11-25", 12.3, True)
    assert other == {"content": "a note", "id": "mem_own"}


def test_a_preview_that_the_market_spoiled_is_asked_for_anew_and_then_told() -> None:
    answers = [{**SAW, "preview": {"status": "denied", "money": "paper", "message": "cooldown"}}] * 3
    asked: list[str] = []

    def run(_transport: str, job: dict[str, Any]) -> dict[str, Any]:
        asked.append(job["mint"])
        return answers[len(asked) - 1]

    mints = iter(["sim:ALFA", "sim:BIRCH", "sim:EMBER"])
    outcome, other = one(Client("some client 1.0", run), "sse", JOB, lambda: next(mints))
    assert asked == ["sim:ALFA", "sim:BIRCH", "sim:EMBER"]
    assert "preview: cooldown" in outcome.failure
    assert other == JOB["other"]


def test_the_table_tells_a_failure_apart() -> None:
    outcomes = [Outcome("a 1", "stdio", "2026-07-28", 80.4, True), Outcome("a 1", "http", failure="refused")]
    told = table([*outcomes, Outcome("a 1", "sse", "not told", 1_234.0, True)])
    assert told.splitlines()[-1] == "| a 1 | ok, 80 ms, 2026-07-28 | FAILED | ok, 1,234 ms, not told | data and text |"
