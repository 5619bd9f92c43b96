"""A desk's database of an earlier version, with positions open, is opened by this one and goes on."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.trading.runtime.test_checkpoints import drive, plan, rows, waves

from trading.adapters.journal_schema import STEPS
from trading.adapters.sql_journal import JournalStore
from trading.engine import checkpoint
from trading.runtime.session import Opener

LATER_TABLES = {
    2: ("mentions", "trades", "checkpoints"),
    3: ("progress",),
    4: ("plans", "results"),
    5: ("mark_buckets",),
    6: ("bars",),
    7: ("kept_bars", "mints"),
}
BARS = (
    "CREATE TABLE bars (run INTEGER NOT NULL REFERENCES runs (number), mint VARCHAR NOT NULL, open_ns BIGINT NOT NULL, "
    "close_ns BIGINT NOT NULL, ohlcv VARCHAR NOT NULL, PRIMARY KEY (run, mint, open_ns)) WITHOUT ROWID"
)
TRIALS = (
    "CREATE TABLE trials (number INTEGER NOT NULL PRIMARY KEY, strategy VARCHAR NOT NULL, "
    "fingerprint VARCHAR NOT NULL, counted_at_ns BIGINT NOT NULL)"
)


def taken_back(path: Path, schema: int) -> None:
    """Make the database what it was under an earlier schema."""
    with closing(sqlite3.connect(path)) as db:
        if schema < 7:
            db.execute(BARS)
        for step in range(len(STEPS), schema, -1):
            for table in LATER_TABLES[step]:
                db.execute(f"DROP TABLE {table}")
        if 2 <= schema < 6:
            db.execute("DROP INDEX trades_shown")
            for column in ("ts_ns", "mint", "side", "bucket", "realised_lamports", "fee_lamports"):
                db.execute(f"ALTER TABLE trades DROP COLUMN {column}")
        if schema < 2:
            db.execute("DROP INDEX rows_marked")
        if schema < 3:
            db.execute(TRIALS)
        db.execute("DELETE FROM schema_version WHERE number > ?", (schema,))
        db.commit()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose desk was stopped while it held something."""
    path = tmp_path_factory.mktemp("desk") / "journal.db"
    feed = waves(by_reference=False)
    store = JournalStore.at(path)
    session = Opener(store, plan(feed), feed)()
    until = 600
    while not session.kernel.state.ledger.has_positions:
        until += 20
        drive(session, feed, until)
    store.close()
    return path


@pytest.mark.requirement("O8")
@pytest.mark.parametrize("schema", range(1, len(STEPS) + 1))
def test_a_database_of_an_earlier_schema_with_an_open_position_goes_on_as_if_nothing_had_happened(
    stopped: Path, tmp_path: Path, schema: int
) -> None:
    feed = waves(by_reference=False)
    stores = []
    for name in ("as_it_was", "upgraded"):
        shutil.copyfile(stopped, tmp_path / name)
        if name == "upgraded":
            taken_back(tmp_path / name, schema)
        stores.append(JournalStore.at(tmp_path / name))
    sessions = [Opener(store, plan(feed), feed)() for store in stores]
    held = [session.kernel.state.ledger.positions() for session in sessions]
    assert held[0] == held[1] != []
    for session in sessions:
        drive(session, feed, session.cycles + 300)
    assert rows(stores[0]) == rows(stores[1])
    kept = [checkpoint.taken(session.kernel) for session in sessions]
    assert kept[0] == kept[1]
    for store in stores:
        store.close()
