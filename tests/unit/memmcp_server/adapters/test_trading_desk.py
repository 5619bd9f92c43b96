"""The seam between memory and trading: records become memories once, nothing bad blocks the desk's relay."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.clocks import SystemClock
from tests.doubles.word_scanner import WordScanner
from tests.support.migrated import migrated

from memmcp_server.adapters.sql_journal import SqlJournal, open_journal
from memmcp_server.adapters.trading_desk import JournalMemory, command_of, open_desk, translating
from memmcp_server.config import JournalSection, Sections, TradingSection
from memmcp_server.domain.identifiers import TrajectoryId
from memmcp_server.domain.memory import MemoryFilter, Trust
from memmcp_server.domain.telemetry import LOCAL_DESK
from memmcp_server.errors import InvalidInput, JournalUnavailable, TradingUnavailable
from trading import desk as trading
from trading.errors import DataError
from trading.ports import MemoryRecord

pytestmark = pytest.mark.anyio
T_NS = 1_770_000_000_000_000_000


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqlJournal]:
    async with open_journal(JournalSection(), migrated(tmp_path), SystemClock()) as opened:
        yield opened


def record(action: Any, key: str, **more: Any) -> MemoryRecord:
    defaults: dict[str, Any] = {
        "ts_event_ns": T_NS,
        "namespace": "trading",
        "kind": "trade" if action in ("open", "close") else "signal",
        "text": f"{action} {key}",
        "trajectory_id": None if action in ("note", "snapshot") else "trade-1",
    }
    return MemoryRecord(action=action, key=key, **{**defaults, **more})


TRADE = [
    record("open", "k1", title="momentum buys BONK", embed=True, tags=("momentum",)),
    record("step", "k2", kind="order", metadata={"lamports": 5}),
    record("close", "k3", text="won", outcome="won", reward_lamports=-7),
    record("note", "k4", text="not acted on"),
    record("snapshot", "k5", metadata={"cycle": 3}),
]


async def everything(journal: SqlJournal) -> list[tuple[str, str, str | None]]:
    rows = await journal.page(MemoryFilter(), after=None, limit=100, newest_first=False)
    return [(row.kind, row.content, row.trajectory_id) for row in rows]


@pytest.mark.requirement("M6")
async def test_a_trade_becomes_a_closed_trajectory_with_its_steps_and_reward(journal: SqlJournal) -> None:
    await JournalMemory(journal, WordScanner({})).write(TRADE)
    trajectory = await journal.trajectory(TrajectoryId("trade-1"))
    assert trajectory is not None
    assert (trajectory.title, trajectory.outcome, trajectory.steps) == ("momentum buys BONK", "won", 1)
    assert (trajectory.reward, trajectory.reward_unit) == (-7, "lamports")
    [step] = await journal.steps(TrajectoryId("trade-1"), after=None, limit=10)
    assert (step.kind, step.metadata["lamports"], step.embed) == ("order", 5, False)
    assert (step.provenance.agent, step.provenance.trust) == ("xavier", Trust.SYSTEM)
    snapshot = await journal.latest_snapshot(LOCAL_DESK)
    assert snapshot is not None
    assert snapshot.body == {"cycle": 3}


@pytest.mark.requirement("M13")
async def test_a_step_is_linked_to_what_it_cites_and_is_there(journal: SqlJournal) -> None:
    memory = JournalMemory(journal, WordScanner({}))
    await memory.write([record("note", "n1", text="a lesson"), TRADE[0]])
    [lesson] = [
        each.id for each in await journal.page(MemoryFilter(kinds=("signal",)), after=None, limit=9, newest_first=False)
    ]
    step = record("step", "k2", kind="signal", cites=(lesson, "gone"))
    await memory.write([step, record("close", "k3", outcome="lost", reward_lamports=-7)])
    await memory.write([step])
    links = await journal.links([lesson])
    assert [(link.to_id, link.trajectory_id) for link in links] == [(lesson, "trade-1")]
    assert (await journal.surroundings([lesson], as_of_ns=None)).standings[lesson].credit == -1_000


@pytest.mark.requirement("M7")
@pytest.mark.parametrize("told", [TRADE, TRADE[1:3]], ids=["opened", "begun by its step"])
async def test_a_digest_cites_trades_that_were_told_in_the_same_batch(
    journal: SqlJournal, told: list[MemoryRecord], caplog: pytest.LogCaptureFixture
) -> None:
    cites = ("trade-1", "gone")
    digest = record("note", "d1", kind="digest", namespace="strategies/momentum", text="1 of 1", cites=cites)
    await JournalMemory(journal, WordScanner({})).write([*told, digest])

    where = MemoryFilter(namespace="strategies/momentum")
    [held] = await journal.page(where, after=None, limit=9, newest_first=False)
    links = await journal.links([held.id])

    assert [(link.kind, link.to_id) for link in links] == [("cites", "trade-1")]
    assert caplog.messages == []  # one commit, not a batch refused and taken apart


async def test_what_is_cited_before_it_is_told_costs_the_batch_nothing(
    journal: SqlJournal, caplog: pytest.LogCaptureFixture
) -> None:
    early = record("note", "d1", kind="digest", cites=("trade-1",))
    await JournalMemory(journal, WordScanner({})).write([early, *TRADE])
    assert await journal.trajectory(TrajectoryId("trade-1")) is not None
    assert caplog.messages == []


async def test_the_same_batch_again_changes_nothing(journal: SqlJournal) -> None:
    memory = JournalMemory(journal, WordScanner({}))
    await memory.write(TRADE)
    before, seq = await everything(journal), await journal.horizon()
    await memory.write(TRADE)
    assert await everything(journal) == before
    assert await journal.horizon() == seq


async def test_a_record_that_can_never_be_taken_is_kept_as_a_note_and_blocks_nobody(journal: SqlJournal) -> None:
    memory = JournalMemory(journal, WordScanner({}))
    await memory.write(TRADE[:1])
    conflicting = record("note", "k9", text="first")
    await memory.write([conflicting])
    batch = [replace(conflicting, text="second"), record("step", "k10", trajectory_id=None), record("note", "k11")]
    for _ in range(2):
        await memory.write(batch)
    kinds = [kind for kind, _, _ in await everything(journal)]
    assert kinds.count("refused_record") == 2
    assert ("signal", "note k11", None) in await everything(journal)
    [refused, _] = [row for row in await everything(journal) if row[0] == "refused_record"]
    assert "idempotency_conflict" in refused[1]


async def test_a_journal_that_is_away_is_memory_unavailable_for_the_desk(journal: SqlJournal) -> None:
    await journal.close()
    with pytest.raises(trading.MemoryUnavailable):
        await JournalMemory(journal, WordScanner({})).write(TRADE)


@pytest.mark.parametrize(
    "bad",
    [
        record("close", "k", trajectory_id=None, outcome="won"),
        record("close", "k"),
        record("open", "k", trajectory_id=None),
    ],
)
def test_a_record_that_lacks_what_its_action_needs_is_named(bad: MemoryRecord) -> None:
    with pytest.raises(InvalidInput, match="k"):
        command_of(bad)


def test_the_desks_errors_become_ours_with_field_and_hint() -> None:
    with pytest.raises(InvalidInput) as wrong, translating():
        raise trading.InvalidInput("amount_sol: too much", field="amount_sol", hint="less")
    assert (wrong.value.field, wrong.value.hint) == ("amount_sol", "less")
    for error in (trading.JournalUnavailable("disk"), DataError("row 7")):
        with pytest.raises(TradingUnavailable), translating():
            raise error
    with pytest.raises(JournalUnavailable), translating():
        raise JournalUnavailable("not the desk's")


@pytest.mark.parametrize(
    ("section", "field"),
    [
        (TradingSection(feed="synthetic", money="real"), "live.wallet"),
        (TradingSection(feed="replay:no/such/file.csv"), None),
        (TradingSection(feed="synthetic", profile="no-such-profile"), "profile"),
    ],
)
async def test_a_desk_that_cannot_open_says_which_setting_is_wrong(
    journal: SqlJournal, tmp_path: Path, section: TradingSection, field: str | None
) -> None:
    with pytest.raises(InvalidInput) as raised:
        async with open_desk({}, Sections(data_dir=tmp_path, trading=section), journal, WordScanner({})):
            pytest.fail("it opened")
    assert not raised.value.retryable
    if field is not None:
        assert raised.value.field == field


@pytest.mark.requirement("M12")
async def test_a_secret_in_a_record_of_the_desk_is_cut_out_and_the_rest_is_kept(journal: SqlJournal) -> None:
    memory = JournalMemory(journal, WordScanner({"hunter2": "password"}))
    await memory.write([record("note", "n", text="token named hunter2", metadata={"name": "hunter2", "n": 1})])
    [note] = await journal.page(MemoryFilter(), after=None, limit=9, newest_first=True)
    assert note.content == "token named [secret removed: password]"
    assert note.metadata == {"name": "[secret removed: password]", "n": 1}
