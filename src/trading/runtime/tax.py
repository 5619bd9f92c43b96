"""The taxable side of a run: every fill, charge and loss in the order of time, with cost basis and gain by lots.

Read through the journal once; what is kept are the open lots, and the fills of one cycle until its SOL price is known.
Gains are those of tokens in SOL and in a currency. SOL that is spent is disposed of too, at the value that is shown;
what it once cost is not known here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final
from zoneinfo import ZoneInfo

from trading.adapters.canonical import parse_json
from trading.engine.inputs import LISTED, decode_input
from trading.engine.kernel import CYCLE_MARKED
from trading.errors import DataError
from trading.model import events
from trading.model.event_codec import decode
from trading.model.instrument import Instrument
from trading.model.market_data import TokenListed
from trading.model.order import Order, Side
from trading.model.units import LAMPORTS_PER_SOL, NS_PER_S
from trading.portfolio.lots import Lot, LotBook, Method
from trading.ports import Journal

RATE_DAYS_MAX: Final = 7
"""Over weekends and holidays there is no rate: the newest of so many days before is taken."""
_KINDS: Final = (
    "run_started",
    "order_approved",
    "order_filled",
    "order_rejected",
    "position_written_off",
    "account_closed",
    "fee_paid",
    CYCLE_MARKED,
    LISTED,
)
_MICRO: Final = 1_000_000

Upkept = events.AccountClosed | events.FeePaid
Told = events.OrderFilled | events.OrderRejected | events.PositionWrittenOff | Upkept


@dataclass(frozen=True, slots=True)
class Currency:
    """What gains are counted in: US dollars, as the feed gives them for SOL, or another currency by daily rates.

    ``rates`` are units of the currency for one dollar by day of ``zone``; ``source`` says where they are from.
    """

    name: str = "USD"
    rates: Mapping[date, Decimal] | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class TaxOptions:
    method: Method
    zone: ZoneInfo
    currency: Currency = Currency()


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of one SOL in the currency, when it was known, and where it is from."""

    price: Decimal
    ts_ns: int
    source: str


@dataclass(frozen=True, slots=True)
class TaxRow:
    """One fill (``buy``, ``sell``), charge of a failed transaction (``failed``), loss (``write_off``), fee of a
    transaction that was no trade (``fee``) or deposit that came back without one (``deposit_back``).

    Sums in lamports and in millionths of the currency (None where SOL had no price). ``cost`` is what was paid with
    all fees for a buy, and the basis of what was sold for a sale; ``proceeds`` is what was got, fees taken off. A
    buy has no gain. Rent is a deposit and in none of them. ``lots`` are the parts of purchases that were sold.
    """

    kind: str
    ts_ns: int
    order_id: str
    trajectory_id: str
    strategy: str
    bucket: str
    mint: str
    symbol: str
    decimals: int
    base_units: int
    value_lamports: int
    pool_fee_lamports: int
    impact_lamports: int
    network_fee_lamports: int
    priority_fee_lamports: int
    charged_lamports: int
    rent_lamports: int
    proceeds_lamports: int | None
    cost_lamports: int | None
    gain_lamports: int | None
    quote: Quote | None
    value_micro: int | None
    fees_micro: int | None
    proceeds_micro: int | None
    cost_micro: int | None
    gain_micro: int | None
    lots: tuple[Lot, ...] = ()


def tax_rows(journal: Journal, options: TaxOptions) -> Iterator[TaxRow]:
    """Yield the rows of a run.

    Raises: DataError for rows that cannot be read or a day without a rate, LedgerMismatch for a sale of what was
    never bought.
    """
    teller = _Teller(options)
    for row in journal.rows(kinds=_KINDS):
        body = parse_json(row.body)
        if row.kind == LISTED:
            listed = decode_input(row.kind, row.ts_ns, body)
            assert isinstance(listed, TokenListed)
            teller.instruments[listed.instrument.mint] = listed.instrument
            continue
        event = decode(row.kind, body)
        if isinstance(event, events.CycleMarked):
            teller.quoted(event)
            yield from teller.told()
        elif isinstance(event, events.RunStarted):
            teller.feed = event.feed[:120]
        elif isinstance(event, events.OrderApproved):
            teller.ordered(event.order)
        elif isinstance(event, Told):
            teller.waiting.append(event)
    yield from teller.told()


class _Teller:
    def __init__(self, options: TaxOptions) -> None:
        self.instruments: dict[str, Instrument] = {}
        self.waiting: list[Told] = []
        self.feed = ""
        self._options = options
        self._mark: events.CycleMarked | None = None
        self._quote: Quote | None = None
        self._mints: dict[str, str] = {}
        self._lots = LotBook(options.method)
        self._held: dict[tuple[str, str], int] = {}

    def ordered(self, order: Order) -> None:
        """Remember which token an open order is about: a failed transaction does not say."""
        self._mints[order.id] = order.mint

    def quoted(self, mark: events.CycleMarked) -> None:
        """Take the SOL price of a cycle's end, which holds for the fills of that cycle."""
        if mark.sol_usd is not None:
            self._mark = mark

    def _quoted(self) -> Quote | None:
        mark, currency = self._mark, self._options.currency
        if mark is None or mark.sol_usd is None:
            return None
        source = f"SOL in USD by the feed ({self.feed})"
        if currency.rates is None:
            return Quote(mark.sol_usd, mark.ts_ns, source)
        rate, day = self._rate(currency, mark.ts_ns)
        return Quote(mark.sol_usd * rate, mark.ts_ns, f"{source}, {currency.name} of {day} by {currency.source}")

    def _rate(self, currency: Currency, ts_ns: int) -> tuple[Decimal, date]:
        assert currency.rates is not None
        day = datetime.fromtimestamp(ts_ns // NS_PER_S, self._options.zone).date()
        for back in range(RATE_DAYS_MAX + 1):
            asked = date.fromordinal(day.toordinal() - back)
            rate = currency.rates.get(asked)
            if rate is not None:
                return rate, asked
        msg = f"rates: {currency.source} has no rate of {currency.name} for {day} or the {RATE_DAYS_MAX} days before"
        raise DataError(msg, field="rates")

    def told(self) -> Iterator[TaxRow]:
        """Yield what waited for its price."""
        waiting, self.waiting = self.waiting, []
        if waiting:
            self._quote = self._quoted()
        for event in waiting:
            if isinstance(event, events.OrderFilled):
                self._mints.pop(event.fill.order_id, None)
                yield self._bought(event) if event.fill.side is Side.BUY else self._sold(event)
            elif isinstance(event, events.PositionWrittenOff):
                yield self._lost(event)
            elif isinstance(event, Upkept):
                yield self._kept_up(event)
            else:
                mint = self._mints.pop(event.rejected.order_id, "")
                if event.rejected.charged_lamports:
                    yield self._bare("failed", event, event.rejected.ts_ns, mint)

    def _micro(self, lamports: int) -> int | None:
        """Return a sum in millionths of the currency."""
        if self._quote is None:
            return None
        exact = Decimal(lamports) * self._quote.price * _MICRO / LAMPORTS_PER_SOL
        return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))

    def _bought(self, event: events.OrderFilled) -> TaxRow:
        fill = event.fill
        cost = fill.lamports + fill.network_fee_lamports + fill.priority_fee_lamports
        cost_micro = self._micro(cost)
        self._lots.add(fill.mint, Lot(fill.order_id, fill.ts_ns, fill.base_units, cost, cost_micro))
        key = (event.bucket, fill.mint)
        self._held[key] = self._held.get(key, 0) + fill.base_units
        return self._row(event, (), (None, cost), (None, cost_micro))

    def _sold(self, event: events.OrderFilled) -> TaxRow:
        fill = event.fill
        lots = tuple(self._lots.take(fill.mint, fill.base_units))
        key = (event.bucket, fill.mint)
        self._held[key] = self._held.get(key, 0) - fill.base_units
        proceeds = fill.lamports - fill.network_fee_lamports - fill.priority_fee_lamports
        return self._row(event, lots, (proceeds, _cost(lots)), (self._micro(proceeds), _cost_micro(lots)))

    def _row(
        self,
        event: events.OrderFilled,
        lots: tuple[Lot, ...],
        sol: tuple[int | None, int],
        fiat: tuple[int | None, int | None],
    ) -> TaxRow:
        """Return the row of a fill; ``sol`` and ``fiat`` are its proceeds and its cost."""
        fill = event.fill
        symbol, decimals = self._named(fill.mint)
        return TaxRow(
            kind=fill.side.value,
            ts_ns=fill.ts_ns,
            order_id=fill.order_id,
            trajectory_id=event.trajectory_id,
            strategy=event.strategy,
            bucket=event.bucket,
            mint=fill.mint,
            symbol=symbol,
            decimals=decimals,
            base_units=fill.base_units,
            value_lamports=fill.lamports,
            pool_fee_lamports=fill.pool_fee_lamports,
            impact_lamports=fill.impact_lamports,
            network_fee_lamports=fill.network_fee_lamports,
            priority_fee_lamports=fill.priority_fee_lamports,
            charged_lamports=0,
            rent_lamports=fill.rent_lamports,
            proceeds_lamports=sol[0],
            cost_lamports=sol[1],
            gain_lamports=None if sol[0] is None else sol[0] - sol[1],
            quote=self._quote,
            value_micro=self._micro(fill.lamports),
            fees_micro=self._micro(fill.network_fee_lamports + fill.priority_fee_lamports),
            proceeds_micro=fiat[0],
            cost_micro=fiat[1],
            gain_micro=None if fiat[0] is None or fiat[1] is None else fiat[0] - fiat[1],
            lots=lots,
        )

    def _lost(self, event: events.PositionWrittenOff) -> TaxRow:
        """Return the loss of a position that cannot be sold any more: all of its cost."""
        units = self._held.pop((event.bucket, event.mint), 0)
        lots = tuple(self._lots.take(event.mint, units))
        cost, cost_micro = _cost(lots), _cost_micro(lots)
        micro = None if cost_micro is None else -cost_micro
        return replace(
            self._bare("write_off", event, event.ts_ns, event.mint),
            base_units=units,
            proceeds_lamports=0,
            cost_lamports=cost,
            gain_lamports=-cost,
            proceeds_micro=self._micro(0),
            cost_micro=cost_micro,
            gain_micro=micro,
            lots=lots,
        )

    def _kept_up(self, event: Upkept) -> TaxRow:
        is_fee = isinstance(event, events.FeePaid)
        mint = "" if isinstance(event, events.FeePaid) else event.mint
        bare = self._bare("fee" if is_fee else "deposit_back", event, event.ts_ns, mint)
        if is_fee:
            return replace(bare, network_fee_lamports=event.lamports, fees_micro=self._micro(event.lamports))
        return replace(bare, rent_lamports=-event.lamports)

    def _bare(
        self, kind: str, event: events.PositionWrittenOff | events.OrderRejected | Upkept, ts_ns: int, mint: str
    ) -> TaxRow:
        """Return the row of what moved no token: the charge of a transaction that came to nothing, or a loss."""
        symbol, decimals = self._named(mint)
        rejected = event.rejected if isinstance(event, events.OrderRejected) else None
        charged = 0 if rejected is None else rejected.charged_lamports
        return TaxRow(
            kind=kind,
            ts_ns=ts_ns,
            order_id="" if rejected is None else rejected.order_id,
            trajectory_id="" if isinstance(event, Upkept) else event.trajectory_id,
            strategy="" if isinstance(event, Upkept) else event.strategy,
            bucket="" if isinstance(event, events.AccountClosed) else event.bucket,
            mint=mint,
            symbol=symbol,
            decimals=decimals,
            base_units=0,
            value_lamports=0,
            pool_fee_lamports=0,
            impact_lamports=0,
            network_fee_lamports=0,
            priority_fee_lamports=0,
            charged_lamports=charged,
            rent_lamports=0,
            proceeds_lamports=None,
            cost_lamports=None,
            gain_lamports=None,
            quote=self._quote,
            value_micro=self._micro(0),
            fees_micro=self._micro(charged),
            proceeds_micro=None,
            cost_micro=None,
            gain_micro=None,
        )

    def _named(self, mint: str) -> tuple[str, int]:
        known = self.instruments.get(mint)
        return ("", 0) if known is None else (known.symbol, known.decimals)


def _cost(lots: tuple[Lot, ...]) -> int:
    return sum(lot.cost_lamports for lot in lots)


def _cost_micro(lots: tuple[Lot, ...]) -> int | None:
    """Return the cost in the currency, None where one of the lots was bought while SOL had no price."""
    known = [lot.cost_micro for lot in lots if lot.cost_micro is not None]
    return sum(known) if len(known) == len(lots) else None
