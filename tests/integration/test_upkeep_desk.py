"""A desk that keeps its wallet up by itself: deposits come back, profit goes to the cold address, the books agree."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from solders.pubkey import Pubkey
from tests.doubles.scripted_market import ManualFeed
from tests.support.live_desk import PRICE, SOL, World, a_desk, a_world
from tests.support.signing import COLD
from typer.testing import CliRunner

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.cli import app
from trading.model.intent import IntentKind
from trading.rehearsal.tokens import NATIVE_MINT, associated, token_account
from trading.runtime.recorded_runs import recorded_run
from trading.runtime.replaying import ReplaySpec, measure
from trading.runtime.upkeep import Upkeep

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10"), pytest.mark.requirement("T20")]

RENT = 2_039_280
LIVE = {"close_after_s": 0, "upkeep_poll_s": 0.05, "sweep_above_sol": "5.1", "sweep_keep_sol": "5.1"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def cold(world: World) -> int:
    found = world.stage.cluster.account(Pubkey.from_string(COLD))
    return 0 if found is None else found.lamports


def has_account(world: World) -> bool:
    account = associated(world.key.pubkey(), Pubkey.from_string(world.stage.frog))
    return world.stage.cluster.account(account) is not None


def dearer(world: World, times: int) -> None:
    """Let the pool pay so many times as much for the token as before, as if others had bought."""
    pool, cluster = world.stage.pool, world.stage.cluster
    for mint, held in ((NATIVE_MINT, 1_000 * SOL * times), (Pubkey.from_string(world.stage.frog), 10**15)):
        cluster.set_account(pool.vault(mint), token_account(mint, pool.authority, held, pool.program(mint)))


async def bought_and_sold_dearer(world: World, here: Any) -> None:
    frog = world.stage.frog
    await here.until(lambda each: each["cycle"] > 2 and each["entries_allowed"])
    await here.buy(frog, "0.05", "one")
    await here.until(lambda each: each["positions"])
    dearer(world, 10)
    close = {"mint": frog, "percent": 100, "reason": "enough"}
    shown = await here.desk.close_position(close, agent="a", key="c1")
    await here.desk.close_position(close | {"preview_id": shown["preview_id"]}, agent="a", key="c2")
    await here.until(lambda each: not each["positions"])


def records(world: World) -> list[tuple[IntentKind, str]]:
    journal = SqlExecutionJournal.at(world.folder / "execution.db", lambda: 0)
    try:
        return [(each.intent.kind, each.state.value) for each in reversed(journal.of_keys("upkeep/", 99))]
    finally:
        journal.close()


async def test_deposits_come_back_and_profit_goes_to_the_cold_address_once(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.live = dict(LIVE)
        await world.arm(sweep_day_lamports_max=10 * SOL)
        feed = ManualFeed(world.stage.frog, "FROG", PRICE)
        async with a_desk(world, feed) as here:
            start = await here.until(lambda each: each["cycle"] > 1)
            await bought_and_sold_dearer(world, here)
            swept = await here.until(lambda each: cold(world) and each["cash"]["lamports"] == world.lamports)
            assert not has_account(world)
            gone = cold(world)
            # Profit, and of it no more than leaves what is to be kept.
            assert 200_000_000 < gone <= world.lamports + gone - 5 * SOL
            assert world.lamports >= 5_100_000_000
            assert swept["cash"]["lamports"] == world.lamports
            assert swept["net_deposits"]["lamports"] == start["net_deposits"]["lamports"] - gone
            assert (swept["state"], swept["tier"]) == ("ACTIVE", start["tier"])
            assert swept["time_weighted_return_bps"] > 0
            waiting = (await here.desk.night(since_ns=None))["waiting"]
            assert not [each["id"] for each in waiting if not each["id"].startswith("feed")]
            await here.until(lambda _each: document(world)["last_sweep"])
        other = ManualFeed(world.stage.frog, "FROG", PRICE)
        other._number = feed._number
        async with a_desk(world, other) as here:
            again = await here.until(lambda each: each["cycle"] > swept["cycle"] + 3)
            assert again["cash"]["lamports"] == world.lamports
            assert again["net_deposits"] == swept["net_deposits"]
        assert cold(world) == gone
        with recorded_run(str(world.folder)) as run:
            assert measure(run, ReplaySpec()).first_row is None
        assert_shown(world, tmp_path, gone)
        assert records(world) == [(IntentKind.CLOSE_ACCOUNTS, "settled"), (IntentKind.SWEEP, "settled")]
        assert len(world.stage.cluster.history(world.wallet)) == 4


async def test_what_was_final_when_the_desk_died_is_booked_once_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> None:
        """The process is gone before it booked anything."""

    async with a_world(tmp_path) as world:
        world.live = dict(LIVE)
        await world.arm(sweep_day_lamports_max=10 * SOL)
        feed = ManualFeed(world.stage.frog, "FROG", PRICE)
        with monkeypatch.context() as patched:
            patched.setattr(Upkeep, "_book", dies)
            async with a_desk(world, feed) as here:
                await bought_and_sold_dearer(world, here)
                before = await here.until(lambda _each: not has_account(world))
                await anyio.sleep(1)
        other = ManualFeed(world.stage.frog, "FROG", PRICE)
        other._number = feed._number
        async with a_desk(world, other) as here:
            after = await here.until(lambda each: cold(world) and each["cash"]["lamports"] == world.lamports)
            assert before["cash"]["lamports"] != after["cash"]["lamports"]
        kinds = [kind for kind, _ in records(world)]
        assert kinds == [IntentKind.CLOSE_ACCOUNTS, IntentKind.SWEEP]


async def test_without_profit_nothing_is_swept_and_it_is_said_why(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.live = {**LIVE, "sweep_above_sol": "1", "sweep_keep_sol": "1"}
        await world.arm()
        async with a_desk(world) as here:
            await here.until(lambda each: each["cycle"] > 5 and each["entries_allowed"])
            shown = document(world)["sweep"]
            assert shown["why_not"] == "profit leaves 0 lamports"
            assert shown["to_address"] == COLD
        assert records(world) == []
        assert cold(world) == 0


def document(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.folder / "upkeep.json").read_text())
    return found


def assert_shown(world: World, folder: Path, gone: int) -> None:
    """The command tells a person what the desk found."""
    (folder / "seen").mkdir()
    (folder / "seen" / "trading").symlink_to(world.folder)
    words = ["live", "sweep", "--preview", "--data-dir", str(folder / "seen")]
    shown = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert "one was swept within 24 hours" in shown.output
    assert f"{COLD[:4]}…{COLD[-4:]}" in shown.output
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert told["last_sweep"]["lamports"] == gone
    assert told["last_sweep"]["to_address"] == COLD
