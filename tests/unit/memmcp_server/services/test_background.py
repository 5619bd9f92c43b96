"""What runs beside the doors cannot take them down."""

import logging

import anyio
import pytest

from memmcp_server.services.background import beside

pytestmark = pytest.mark.anyio


async def test_a_part_runs_while_the_block_does_and_is_cancelled_after_it() -> None:
    running, ended = anyio.Event(), anyio.Event()

    async def part() -> None:
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    with anyio.fail_after(30):
        async with beside("a part", part):
            await running.wait()
        assert ended.is_set()


async def test_a_part_that_fails_is_logged_and_the_block_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    failed = anyio.Event()

    async def part() -> None:
        failed.set()
        raise ZeroDivisionError("a bug")

    with anyio.fail_after(30), caplog.at_level(logging.CRITICAL):
        async with beside("the broken part", part):
            await failed.wait()
            await anyio.wait_all_tasks_blocked()
            assert "the broken part" in caplog.text
            assert "ZeroDivisionError" in caplog.text


async def test_a_part_that_failed_begins_again() -> None:
    begun = 0
    is_back = anyio.Event()

    async def part() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ZeroDivisionError("a bug")
        is_back.set()
        await anyio.sleep_forever()

    with anyio.fail_after(30):
        async with beside("the part", part, restart_s=0.01):
            await is_back.wait()
    assert begun == 2
