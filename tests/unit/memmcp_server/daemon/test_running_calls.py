"""Which calls an orderly end waits for: those that have begun and that somebody still waits for."""

import json

import anyio
import pytest

from memmcp_server.daemon.connections import RunningCalls

pytestmark = pytest.mark.anyio
CONNECTION, OTHER = object(), object()


def call(request_id: int | str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": {"name": "memory_write"}})


def answer(request_id: int | str, outcome: str = "result") -> str:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, outcome: {}}, separators=(",", ":"))


async def is_finished(calls: RunningCalls) -> bool:
    with anyio.move_on_after(0.01):
        await calls.finish()
        return True
    return False


@pytest.mark.parametrize("request_id", [7, -1, "seven", 'a "quoted" \\ one', "é", ""])
@pytest.mark.parametrize("outcome", ["result", "error"])
async def test_a_call_is_waited_for_until_its_own_answer(request_id: int | str, outcome: str) -> None:
    calls = RunningCalls()
    calls.began(CONNECTION, call(request_id))
    calls.answered(CONNECTION, answer("another"))
    calls.answered(OTHER, answer(request_id))
    assert not await is_finished(calls)
    calls.answered(CONNECTION, answer(request_id, outcome))
    assert await is_finished(calls)


async def test_whoever_waits_is_told_when_the_last_call_is_answered() -> None:
    calls = RunningCalls()
    calls.began(CONNECTION, call(1))
    calls.began(OTHER, call(1))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(calls.finish)
            await anyio.wait_all_tasks_blocked()
            calls.answered(CONNECTION, answer(1))
            calls.gone(OTHER)
    assert calls.is_ending


async def test_what_nobody_waits_for_holds_nothing_up() -> None:
    calls = RunningCalls()
    calls.began(CONNECTION, call(1))
    calls.began(CONNECTION, '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}')
    for line in (
        '{"jsonrpc":"2.0","id":2,"method":"subscriptions/listen"}',
        '{"method":"tools/call"',
        "[1]",
        '"tools/call"',
    ):
        calls.began(CONNECTION, line)
    calls.answered(CONNECTION, "no answer at all")
    assert await is_finished(calls)
