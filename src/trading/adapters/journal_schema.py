"""Tables of the trading journal and the numbered steps that make them."""

import sqlalchemy as sa

from .sqlite import Step, run_all

INPUT_KIND = "input"
NOT_INPUT = "kind <> 'input'"
MARKED_KIND = "cycle_marked"
IS_MARKED = "kind = 'cycle_marked'"

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False, unique=True),
    sa.Column("identity", sa.String, nullable=False, index=True),
    sa.Column("started_at_ns", sa.BigInteger, nullable=False),
)
rows = sa.Table(
    "rows",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("ts_ns", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    # Inputs are most of the rows and are only ever read in order; the index carries what people ask for.
    sa.Index("rows_by_kind", "run", "kind", "seq", sqlite_where=sa.text(NOT_INPUT)),
    sa.Index("rows_marked", "run", "ts_ns", "seq", sqlite_where=sa.text(IS_MARKED)),
    sqlite_with_rowid=False,
)
mentions = sa.Table(
    "mentions",  # which rows speak of an order or a trajectory
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
trades = sa.Table(
    "trades",  # fills as they are shown, folded from the rows
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("strategy", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    # What people filter and add up by, out of the body: one index answers it without reading any body.
    sa.Column("ts_ns", sa.BigInteger),
    sa.Column("mint", sa.String),
    sa.Column("side", sa.String),
    sa.Column("bucket", sa.String),
    sa.Column("realised_lamports", sa.BigInteger),
    sa.Column("fee_lamports", sa.BigInteger),
    sa.Index("trades_by_strategy", "run", "strategy", "number"),
    sa.Index(
        "trades_shown",
        "run",
        "ts_ns",
        "number",
        "mint",
        "side",
        "bucket",
        "strategy",
        "realised_lamports",
        "fee_lamports",
    ),
    sqlite_with_rowid=False,
)
mints = sa.Table(
    "mints",  # numbers for the tokens that bars are kept of: a mint takes as much as the rest of a bar
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("mint", sa.String, nullable=False, unique=True),
)
kept_bars = sa.Table(
    "kept_bars",  # what the market told of a token's price, for who looks at it later; no row of the run
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("mint", sa.ForeignKey("mints.number"), primary_key=True),
    sa.Column("open_ns", sa.BigInteger, primary_key=True),
    sa.Column("width_ns", sa.BigInteger, nullable=False),
    sa.Column("grain_s", sa.BigInteger, nullable=False),
    sa.Column("parts", sa.BigInteger, nullable=False),
    sa.Column("ohlcv", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
checkpoints = sa.Table(
    "checkpoints",  # the state folded from the rows up to seq: a convenience, never the truth
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
progress = sa.Table(
    "progress",  # cycles taken, those included that left no row because nothing happened in them
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("cycles", sa.BigInteger, nullable=False),
)
plans = sa.Table(
    "plans",  # what a run is made of, in full: to make it again; no row of the run, since it names places on a disk
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
results = sa.Table(
    "results",  # what a finished run came to, with what only its engine knew
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("sink", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
)
mark_buckets = sa.Table(
    "mark_buckets",  # what the marks of each minute and hour came to, folded from the rows
    metadata,
    sa.Column("run", sa.ForeignKey("runs.number"), primary_key=True),
    sa.Column("width_ns", sa.BigInteger, primary_key=True),
    sa.Column("start_ns", sa.BigInteger, primary_key=True),
    sa.Column("first_ns", sa.BigInteger, nullable=False),
    sa.Column("first_seq", sa.BigInteger, nullable=False),
    sa.Column("first_lamports", sa.BigInteger, nullable=False),
    sa.Column("last_ns", sa.BigInteger, nullable=False),
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("last_lamports", sa.BigInteger, nullable=False),
    sa.Column("low_lamports", sa.BigInteger, nullable=False),
    sa.Column("high_lamports", sa.BigInteger, nullable=False),
    sa.Column("drawdown_bps_max", sa.BigInteger, nullable=False),
    sa.Column("sol_usd", sa.String),
    sa.Column("marks", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("run", sa.ForeignKey("runs.number"), nullable=False, index=True),
    sa.Column("ts_ns", sa.BigInteger, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("scope", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)


FIRST = (
    (
        "CREATE TABLE runs (number INTEGER NOT NULL PRIMARY KEY, run_id VARCHAR NOT NULL UNIQUE, "
        "identity VARCHAR NOT NULL, started_at_ns BIGINT NOT NULL)"
    ),
    "CREATE INDEX ix_runs_identity ON runs (identity)",
    (
        "CREATE TABLE rows (run INTEGER NOT NULL REFERENCES runs (number), seq BIGINT NOT NULL, ts_ns BIGINT NOT NULL, "
        "kind VARCHAR NOT NULL, body BLOB NOT NULL, PRIMARY KEY (run, seq)) WITHOUT ROWID"
    ),
    "CREATE INDEX rows_by_kind ON rows (run, kind, seq) WHERE kind <> 'input'",
    (
        "CREATE TABLE cursors (run INTEGER NOT NULL REFERENCES runs (number), sink VARCHAR NOT NULL, "
        "seq BIGINT NOT NULL, PRIMARY KEY (run, sink))"
    ),
    (
        "CREATE TABLE snapshots (number INTEGER NOT NULL PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs (number), "
        "ts_ns BIGINT NOT NULL, key VARCHAR NOT NULL, body BLOB NOT NULL)"
    ),
    "CREATE INDEX ix_snapshots_run ON snapshots (run)",
    "CREATE TABLE answers (scope VARCHAR NOT NULL, key VARCHAR NOT NULL, body BLOB NOT NULL, PRIMARY KEY (scope, key))",
    (
        "CREATE TABLE trials (number INTEGER NOT NULL PRIMARY KEY, strategy VARCHAR NOT NULL, "
        "fingerprint VARCHAR NOT NULL, counted_at_ns BIGINT NOT NULL)"
    ),
)
_NAMES = ("$.trajectory_id", "$.order.trajectory_id", "$.order.id", "$.fill.order_id", "$.rejected.order_id")
_MENTIONED = " UNION ALL ".join(
    f"SELECT run, json_extract(CAST(body AS TEXT), '{name}') AS name, seq FROM rows WHERE {NOT_INPUT}"  # noqa: S608
    for name in _NAMES
)
_SECOND = (
    "CREATE INDEX rows_marked ON rows (run, ts_ns, seq) WHERE kind = 'cycle_marked'",
    (
        "CREATE TABLE mentions (run INTEGER NOT NULL REFERENCES runs (number), name VARCHAR NOT NULL, "
        "seq BIGINT NOT NULL, PRIMARY KEY (run, name, seq)) WITHOUT ROWID"
    ),
    f"INSERT OR IGNORE INTO mentions SELECT run, name, seq FROM ({_MENTIONED}) WHERE name IS NOT NULL",  # noqa: S608
    (
        "CREATE TABLE trades (run INTEGER NOT NULL REFERENCES runs (number), number BIGINT NOT NULL, "
        "strategy VARCHAR NOT NULL, body BLOB NOT NULL, PRIMARY KEY (run, number)) WITHOUT ROWID"
    ),
    "CREATE INDEX trades_by_strategy ON trades (run, strategy, number)",
    (
        "CREATE TABLE checkpoints (run INTEGER NOT NULL REFERENCES runs (number), seq BIGINT NOT NULL, "
        "sha256 VARCHAR NOT NULL, body BLOB NOT NULL, PRIMARY KEY (run, seq))"
    ),
)

_THIRD = (
    "CREATE TABLE progress (run INTEGER NOT NULL PRIMARY KEY REFERENCES runs (number), cycles BIGINT NOT NULL)",
    "DROP TABLE trials",  # they are counted in a ledger of their own
)

_FOURTH = (
    "CREATE TABLE plans (run INTEGER NOT NULL PRIMARY KEY REFERENCES runs (number), body BLOB NOT NULL)",
    "CREATE TABLE results (run INTEGER NOT NULL PRIMARY KEY REFERENCES runs (number), body BLOB NOT NULL)",
)

_FIFTH = (
    (
        "CREATE TABLE mark_buckets (run INTEGER NOT NULL REFERENCES runs (number), width_ns BIGINT NOT NULL, "
        "start_ns BIGINT NOT NULL, first_ns BIGINT NOT NULL, first_seq BIGINT NOT NULL, "
        "first_lamports BIGINT NOT NULL, last_ns BIGINT NOT NULL, last_seq BIGINT NOT NULL, "
        "last_lamports BIGINT NOT NULL, low_lamports BIGINT NOT NULL, high_lamports BIGINT NOT NULL, "
        "drawdown_bps_max BIGINT NOT NULL, sol_usd VARCHAR, marks BIGINT NOT NULL, "
        "PRIMARY KEY (run, width_ns, start_ns)) WITHOUT ROWID"
    ),
)

_FEES = " + ".join(
    f"json_extract(CAST(body AS TEXT), '$.filled.fill.{name}_lamports')"
    for name in ("pool_fee", "network_fee", "priority_fee")
)
_SIXTH = (
    *(
        f"ALTER TABLE trades ADD COLUMN {column}"
        for column in (
            "ts_ns BIGINT",
            "mint VARCHAR",
            "side VARCHAR",
            "bucket VARCHAR",
            "realised_lamports BIGINT",
            "fee_lamports BIGINT",
        )
    ),
    (
        "UPDATE trades SET "  # noqa: S608 - names of our own
        "ts_ns = json_extract(CAST(body AS TEXT), '$.filled.fill.ts_ns'), "
        "mint = json_extract(CAST(body AS TEXT), '$.filled.fill.mint'), "
        "side = json_extract(CAST(body AS TEXT), '$.filled.fill.side'), "
        "bucket = json_extract(CAST(body AS TEXT), '$.filled.bucket'), "
        "realised_lamports = json_extract(CAST(body AS TEXT), '$.realised_lamports'), "
        f"fee_lamports = {_FEES}"
    ),
    (
        "CREATE INDEX trades_shown ON trades "
        "(run, ts_ns, number, mint, side, bucket, strategy, realised_lamports, fee_lamports)"
    ),
    (
        "CREATE TABLE bars (run INTEGER NOT NULL REFERENCES runs (number), mint VARCHAR NOT NULL, "
        "open_ns BIGINT NOT NULL, close_ns BIGINT NOT NULL, ohlcv VARCHAR NOT NULL, "
        "PRIMARY KEY (run, mint, open_ns)) WITHOUT ROWID"
    ),
)

_SEVENTH = (
    "CREATE TABLE mints (number INTEGER NOT NULL PRIMARY KEY, mint VARCHAR NOT NULL UNIQUE)",
    (
        "CREATE TABLE kept_bars (run INTEGER NOT NULL REFERENCES runs (number), "
        "mint INTEGER NOT NULL REFERENCES mints (number), open_ns BIGINT NOT NULL, width_ns BIGINT NOT NULL, "
        "grain_s BIGINT NOT NULL, parts BIGINT NOT NULL, ohlcv BLOB NOT NULL, "
        "PRIMARY KEY (run, mint, open_ns)) WITHOUT ROWID"
    ),
    "INSERT INTO mints (mint) SELECT DISTINCT mint FROM bars",
    # The text stays: what reads it knows both forms, and taking bars together packs them.
    (
        "INSERT INTO kept_bars SELECT bars.run, mints.number, bars.open_ns, bars.close_ns - bars.open_ns, 0, 1, "
        "bars.ohlcv FROM bars JOIN mints ON mints.mint = bars.mint ORDER BY 1, 2, 3"
    ),
    "DROP TABLE bars",
)

STEPS: tuple[Step, ...] = tuple(map(run_all, (FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH, _SEVENTH)))
"""Step n brings schema n-1 to n. A step that was released is never changed; the next one corrects it."""
