"""An auditor with his own pencil: the rows of a recorded backtest against the raw files, in exact fractions.

Nothing here calls the engine's arithmetic. Prices come from the CSV files, the rules from docs/trading-on-paper.md and
docs/feeds.md, and every lamport of every fill, fee, deposit and mark is computed again from them.
"""

import csv
import gzip
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from trading.adapters.memory_journal import MemoryJournal
from trading.feeds.replay import open_replay
from trading.ports import JournalRow
from trading.runtime.backtest import BacktestSpec, run_backtest

S = 1_000_000_000
INTERVAL_S = 300
SKIPPED = 12_000
"""The first weeks are calm; from here on both strategies trade."""
BARS = 5_000
CUTS = 8
MINTS = {"BONK": ("DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", 5), "PEPE": ("sim:PEPE", 6)}
POOL_LAMPORTS = 2_000 * S
POOL_FEE_BPS = 25
SIGNATURE_LAMPORTS = 5_000
PRIORITY_LAMPORTS = 20_000
RENT_LAMPORTS = 2_039_280
EXIT_RESERVE_LAMPORTS = 2_000_000
COOLDOWN_S = 3_600
REENTRY_S = 6 * 3_600
_DIGITS = Context(prec=28, rounding=ROUND_HALF_EVEN)

Raw = dict[int, dict[str, str]]


@pytest.fixture(scope="module")
def recorded(market_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two tokens and SOL, as recorded; a part of each file, so that the audit is quick."""
    folder = tmp_path_factory.mktemp("recorded")
    paths = []
    for name in ("SOLUSDT_5m", "BONKUSDT_5m", "PEPEUSDT_5m"):
        with gzip.open(market_dir / "ohlcv_5m" / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
            path = folder / f"{name}.csv"
            header = next(file)
            path.write_text(header + "".join(islice(file, SKIPPED, SKIPPED + BARS)), encoding="utf-8")
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def rows(recorded: list[Path]) -> list[JournalRow]:
    return rows_of(recorded)


def rows_of(paths: Sequence[Path], to_ns: int | None = None) -> list[JournalRow]:
    result = run_backtest(BacktestSpec(feed=open_replay(list(paths), to_ns=to_ns)))
    assert isinstance(result.journal, MemoryJournal)
    return list(result.journal.rows())


def raw_of(path: Path) -> Raw:
    with path.open(encoding="utf-8", newline="") as file:
        return {int(row["ts"]): row for row in csv.DictReader(file)}


class Prices:
    """SOL prices as exact fractions of the 28-digit quotient that the documents promise."""

    def __init__(self, paths: Sequence[Path]) -> None:
        by_name = {path.name.removesuffix("USDT_5m.csv"): raw_of(path) for path in paths}
        self._sol = by_name.pop("SOL")
        self._tokens = {MINTS[name][0]: raw for name, raw in by_name.items()}
        self._decimals = dict(MINTS.values())

    def at(self, mint: str, open_s: int, column: str) -> Fraction | None:
        """Return lamports per base unit, None where one of the two files has no such bar."""
        token, sol = self._tokens[mint].get(open_s), self._sol.get(open_s)
        if token is None or sol is None:
            return None
        quotient = _DIGITS.divide(Decimal(token[column]), Decimal(sol[column]))
        per_token: int = 10 ** self._decimals[mint]
        return Fraction(quotient) * S / per_token

    def close_before(self, mint: str, ts_s: int) -> Fraction:
        """Return the newest close at or before a time."""
        for back in range(1, 10_000):
            price = self.at(mint, ts_s - back * INTERVAL_S, "close")
            if price is not None:
                return price
        raise AssertionError

    def open_after(self, mint: str, ts_s: int) -> tuple[int, Fraction]:
        """Return time and price of the first open at or after a time."""
        for ahead in range(10_000):
            price = self.at(mint, ts_s + ahead * INTERVAL_S, "open")
            if price is not None:
                return ts_s + ahead * INTERVAL_S, price
        raise AssertionError


@dataclass
class Pool:
    """x times y is constant; the fee stays outside, on the SOL side."""

    sol: int
    tokens: int

    @classmethod
    def priced(cls, price: Fraction) -> "Pool":
        return cls(POOL_LAMPORTS, int(POOL_LAMPORTS / price))

    def buy(self, spend: int) -> dict[str, int]:
        into = spend * 10_000 // (10_000 + POOL_FEE_BPS)
        out = self.tokens - -(-(self.sol * self.tokens) // (self.sol + into))
        fee = -(-into * POOL_FEE_BPS // 10_000)
        impact = into - out * self.sol // self.tokens
        self.sol, self.tokens = self.sol + into, self.tokens - out
        return {"lamports": into + fee, "base_units": out, "pool_fee_lamports": fee, "impact_lamports": impact}

    def sell(self, units: int) -> dict[str, int]:
        gross = self.sol - -(-(self.sol * self.tokens) // (self.tokens + units))
        fee = -(-gross * POOL_FEE_BPS // 10_000)
        impact = units * self.sol // self.tokens - gross
        self.sol, self.tokens = self.sol - gross, self.tokens + units
        return {"lamports": gross - fee, "base_units": units, "pool_fee_lamports": fee, "impact_lamports": impact}


@dataclass
class Held:
    units: int = 0
    cost: int = 0


@dataclass
class Auditor:
    """Reads the rows one by one and keeps books of his own; ``complaints`` is what does not agree."""

    prices: Prices
    complaints: list[str] = field(default_factory=list)
    cash: dict[str, int] = field(default_factory=dict)
    held: dict[tuple[str, str], Held] = field(default_factory=dict)
    rent: dict[str, tuple[str, int]] = field(default_factory=dict)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    losses: dict[str, tuple[int, Fraction]] = field(default_factory=dict)
    pools: dict[tuple[str, int], Pool] = field(default_factory=dict)
    peak: int = 0
    fills: int = 0
    marks: int = 0
    quiet: int = 0
    now_ns: int = 0

    def read(self, rows: Sequence[JournalRow]) -> "Auditor":
        for row in rows:
            body = json.loads(row.body)
            handler = getattr(self, f"_{row.kind}", None)
            if handler is not None:
                handler(row, body)
        return self

    def expect(self, what: str, expected: object, got: object) -> None:
        if expected != got:
            self.complaints.append(f"{what}: expected {expected}, the journal says {got}")

    def holding(self, mint: str) -> Held:
        mine = [held for (_, other), held in self.held.items() if other == mint]
        return Held(sum(each.units for each in mine), sum(each.cost for each in mine))

    def _capital_deposited(self, _row: JournalRow, body: dict[str, Any]) -> None:
        self.cash[body["bucket"]] = self.cash.get(body["bucket"], 0) + body["lamports"]

    def _order_approved(self, row: JournalRow, body: dict[str, Any]) -> None:
        order = body["order"]
        self.orders[order["id"]] = order
        self.expect(f"{order['id']} is decided at its row's time", row.ts_ns, order["ts_ns"])
        self.expect(f"{order['id']} priority fee", PRIORITY_LAMPORTS, order["priority_fee_lamports"])
        if order["side"] == "buy":
            self._may_buy(order)

    def _may_buy(self, order: dict[str, Any]) -> None:
        mint, now_s = order["mint"], order["ts_ns"] // S
        price = self.prices.close_before(mint, now_s)
        holding = self.holding(mint)
        if holding.units and price * holding.units < holding.cost:
            self.complaints.append(f"{order['id']} adds to a loser: {price * holding.units} below {holding.cost}")
        if mint in self.losses:
            at_s, exit_price = self.losses[mint]
            if now_s - at_s < COOLDOWN_S or (now_s - at_s < REENTRY_S and price < exit_price):
                self.complaints.append(f"{order['id']} enters {now_s - at_s} s after a losing exit")

    def _order_filled(self, _row: JournalRow, body: dict[str, Any]) -> None:
        fill = body["fill"]
        order = self.orders.pop(fill["order_id"])
        mint, bucket = fill["mint"], body["bucket"]
        open_s, price = self.prices.open_after(mint, order["ts_ns"] // S)
        name = f"fill of {order['id']}"
        self.expect(f"{name}: at the next open", open_s * S, fill["ts_ns"])
        pool = self.pools.setdefault((mint, open_s), Pool.priced(price))
        is_buy = fill["side"] == "buy"
        before = self.holding(mint)
        swap = pool.buy(order["amount_in"]) if is_buy else pool.sell(order["amount_in"])
        for part, expected in swap.items():
            self.expect(f"{name}: {part}", expected, fill[part])
        mark = int(self.prices.close_before(mint, order["ts_ns"] // S) * swap["base_units"])
        worse = swap["lamports"] - mark if is_buy else mark - swap["lamports"]
        self.expect(f"{name}: slippage", -(-worse * 10_000 // mark), fill["slippage_bps"])
        self.expect(f"{name}: signature", SIGNATURE_LAMPORTS, fill["network_fee_lamports"])
        self.expect(f"{name}: priority", PRIORITY_LAMPORTS, fill["priority_fee_lamports"])
        self.expect(f"{name}: asked for", True, (swap["base_units" if is_buy else "lamports"]) >= order["min_out"])
        after_units = before.units + swap["base_units"] * (1 if is_buy else -1)
        rent = RENT_LAMPORTS * ((before.units == 0) - (after_units == 0))
        self.expect(f"{name}: rent", rent, fill["rent_lamports"])
        self._book(bucket, fill, swap, rent)
        self.fills += 1

    def _book(self, bucket: str, fill: dict[str, Any], swap: dict[str, int], rent: int) -> None:
        mint = fill["mint"]
        fees = SIGNATURE_LAMPORTS + PRIORITY_LAMPORTS
        held = self.held.setdefault((bucket, mint), Held())
        if fill["side"] == "buy":
            held.units += swap["base_units"]
            held.cost += swap["lamports"] + fees
            self.cash[bucket] -= swap["lamports"] + fees
        else:
            cost = held.cost * swap["base_units"] // held.units
            gained = swap["lamports"] - fees - cost
            held.units, held.cost = held.units - swap["base_units"], held.cost - cost
            self.cash[bucket] += swap["lamports"] - fees
            if gained < 0:
                self.losses[mint] = (fill["ts_ns"] // S, Fraction(swap["lamports"], swap["base_units"]))
        if rent > 0:
            self.rent[mint] = (bucket, rent)
            self.cash[bucket] -= rent
        elif rent < 0:
            payer, deposit = self.rent.pop(mint)
            self.cash[payer] += deposit
        tokens = sum(1 for other in {mint for _, mint in self.held} if self.holding(other).units)
        if fill["side"] == "buy" and sum(self.cash.values()) < EXIT_RESERVE_LAMPORTS * tokens:
            self.complaints.append(f"{fill['order_id']} spends the reserve of {tokens} exits")

    def _order_rejected(self, _row: JournalRow, body: dict[str, Any]) -> None:
        rejected = body["rejected"]
        order = self.orders.pop(rejected["order_id"])
        open_s, price = self.prices.open_after(order["mint"], order["ts_ns"] // S)
        pool = Pool.priced(price)
        swap = pool.buy(order["amount_in"]) if order["side"] == "buy" else pool.sell(order["amount_in"])
        out = swap["base_units" if order["side"] == "buy" else "lamports"]
        late = open_s * S - order["ts_ns"] > 90 * S
        self.expect(f"{order['id']} rejected", True, late or out < order["min_out"])
        charged = 0 if rejected["reason"] == "expired" else SIGNATURE_LAMPORTS + PRIORITY_LAMPORTS
        self.expect(f"{order['id']} charged", charged, rejected["charged_lamports"])
        self.cash[body["bucket"]] -= rejected["charged_lamports"]

    def _position_closed(self, _row: JournalRow, body: dict[str, Any]) -> None:
        self.expect(f"{body['trajectory_id']} left", Held(), self.held.pop((body["bucket"], body["mint"]), Held()))

    def _input(self, row: JournalRow, _body: dict[str, Any]) -> None:
        """Go through the cycles of the stretch that have no mark of their own: they made peaks, too."""
        for ts_ns in range(self.now_ns + INTERVAL_S * S, row.ts_ns, INTERVAL_S * S) if self.now_ns else ():
            self.peak = max(self.peak, self._worth(ts_ns)[2])
            self.quiet += 1
        self.now_ns = row.ts_ns

    def _worth(self, ts_ns: int) -> tuple[int, int, int]:
        """Return cash, exposure and equity at the closes of that time."""
        cash = sum(self.cash.values())
        exposure = 0
        for mint in {mint for _, mint in self.held}:
            holding = self.holding(mint)
            pool = Pool.priced(self.prices.close_before(mint, ts_ns // S))
            exposure += pool.sell(holding.units)["lamports"] if holding.units else 0
        return cash, exposure, cash + sum(lamports for _, lamports in self.rent.values()) + exposure

    def _cycle_marked(self, row: JournalRow, body: dict[str, Any]) -> None:
        cash, exposure, equity = self._worth(row.ts_ns)
        self.peak = max(self.peak, equity)
        drop = -(-(self.peak - equity) * 10_000 // self.peak)
        got = [body[name] for name in ("cash_lamports", "exposure_lamports", "equity_lamports", "drawdown_bps")]
        self.expect(f"mark at {row.ts_ns}", [cash, exposure, equity, drop], got)
        self.marks += 1


@pytest.mark.requirement("T9")
def test_every_lamport_of_a_recorded_backtest_can_be_computed_from_the_raw_files(
    recorded: list[Path], rows: list[JournalRow]
) -> None:
    auditor = Auditor(Prices(recorded)).read(rows)
    assert auditor.complaints == []
    assert auditor.fills >= 30
    assert auditor.marks + auditor.quiet == BARS
    assert auditor.marks >= BARS // 12  # one an hour at least


TAMPERED = [
    ("order_filled", ("fill", "lamports")),
    ("order_filled", ("fill", "base_units")),
    ("order_filled", ("fill", "pool_fee_lamports")),
    ("order_filled", ("fill", "impact_lamports")),
    ("order_filled", ("fill", "rent_lamports")),
    ("order_filled", ("fill", "ts_ns")),
    ("order_filled", ("fill", "slippage_bps")),
    ("order_approved", ("order", "amount_in")),
    ("order_approved", ("order", "priority_fee_lamports")),
    ("capital_deposited", ("lamports",)),
    ("cycle_marked", ("cash_lamports",)),
    ("cycle_marked", ("exposure_lamports",)),
    ("cycle_marked", ("equity_lamports",)),
    ("cycle_marked", ("drawdown_bps",)),
]


@pytest.mark.parametrize(("kind", "place"), TAMPERED)
def test_the_auditor_sees_one_lamport_that_is_not_there(
    recorded: list[Path], rows: list[JournalRow], kind: str, place: tuple[str, ...]
) -> None:
    number = [position for position, row in enumerate(rows) if row.kind == kind][-1]
    body = json.loads(rows[number].body)
    inner = body
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] += 1
    bent = [*rows[:number], replace(rows[number], body=json.dumps(body).encode()), *rows[number + 1 :]]
    assert Auditor(Prices(recorded)).read(bent).complaints


@pytest.mark.parametrize(
    ("move", "word"),
    [
        (lambda price: price * 2, "adds to a loser"),
        (lambda price: price, "enters"),
    ],
)
def test_the_auditor_sees_a_purchase_that_is_forbidden(
    recorded: list[Path], rows: list[JournalRow], move: Callable[[Fraction], Fraction], word: str
) -> None:
    first = next(row for row in rows if row.kind == "order_approved")
    order = json.loads(first.body)["order"]
    auditor = Auditor(Prices(recorded))
    close = auditor.prices.close_before(order["mint"], order["ts_ns"] // S)
    if word == "enters":
        auditor.losses[order["mint"]] = (order["ts_ns"] // S - 60, move(close))
    else:
        auditor.held[("other", order["mint"])] = Held(1_000_000, int(move(close) * 1_000_000) + 1)
    assert any(word in complaint for complaint in auditor.read([first]).complaints)


@pytest.mark.requirement("T1")
def test_a_backtest_that_ends_earlier_has_the_same_rows_up_to_its_end(
    recorded: list[Path], rows: list[JournalRow]
) -> None:
    chance = random.Random(20_240_501)
    first_s = min(raw_of(recorded[0]))
    for cut in sorted(chance.sample(range(300, BARS), CUTS)):
        cut_ns = (first_s + cut * INTERVAL_S) * S
        known = [part for part in decided(rows) if part[1] <= cut_ns]
        found = decided(rows_of(recorded, to_ns=cut_ns))
        assert found[: len(known)] == known, f"the first {cut} bars"
        # The end of a feed writes down the quiet cycles before it and their mark.
        assert [kind for _, _, kind, _ in found[len(known) :]] in ([], ["input", "cycle_marked"])


def decided(rows: Sequence[JournalRow]) -> list[tuple[int, int, str, bytes]]:
    """Return the rows byte for byte, apart from the header (which counts the bars) and the mark of the feed's end."""
    ends = ("run_started", "feed_ended")
    return [(row.seq, row.ts_ns, row.kind, row.body) for row in rows if row.kind not in ends]
