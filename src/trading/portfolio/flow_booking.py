"""Ledger events of one foreign transaction, drafted against a copy of the books so that each of them can be booked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from trading.errors import InvalidInput
from trading.model.commands import FlowStep
from trading.model.events import (
    AccountClosed,
    CapitalDeposited,
    CapitalMoved,
    CapitalWithdrawn,
    FeePaid,
    OrderFilled,
    WalletMoved,
)
from trading.model.identifiers import derived_id
from trading.model.intent import SOL_MINT
from trading.model.order import Fill, Side
from trading.model.units import BPS_ONE
from trading.model.wallet import MAIN

from .ledger import Ledger
from .wallets import WalletBook

FlowEvent = CapitalDeposited | CapitalWithdrawn | CapitalMoved | AccountClosed | FeePaid | OrderFilled | WalletMoved
Value = Callable[[str, int], int | None]
"""What so many base units of a mint could be sold for now, in lamports; None where nobody knows."""
HAND = "manual"
"""The strategy that a person is."""
WITHDRAWN: Final = "went out, seen on chain"
SWEPT: Final = "swept to the cold address"
"""The reason of a withdrawal that was a sweep of ours."""


@dataclass(frozen=True, slots=True)
class Books:
    """What the books have: cash by bucket, (base units, cost) by (bucket, mint), a wallet's rent deposits by mint."""

    cash: dict[str, int]
    positions: dict[tuple[str, str], tuple[int, int]]
    deposits: dict[str, int]

    @classmethod
    def of(cls, ledger: Ledger, wallet: str = MAIN) -> "Books":
        return cls(
            {name: bucket.cash_lamports for name, bucket in ledger.buckets.items()},
            {(each.bucket, each.mint): (each.base_units, each.cost_lamports) for each in ledger.positions()},
            ledger.rent_deposits(wallet),
        )


def steps_of(events: Sequence[FlowEvent]) -> tuple[FlowStep, ...]:
    """Return the entries of drafted events, for ``events_of`` to give them back."""
    return tuple(_step(event) for event in events)


def _step(event: FlowEvent) -> FlowStep:
    match event:
        case CapitalDeposited():
            return FlowStep("deposit", event.bucket, event.lamports, wallet=event.wallet)
        case CapitalWithdrawn():
            what = "sweep" if event.reason == SWEPT else "withdraw"
            return FlowStep(what, event.bucket, event.lamports, wallet=event.wallet)
        case AccountClosed():
            return FlowStep("close_account", "", event.lamports, mint=event.mint, wallet=event.wallet)
        case FeePaid():
            return FlowStep("fee", event.bucket, event.lamports, wallet=event.wallet)
        case CapitalMoved():
            return FlowStep("move", event.from_bucket, event.lamports, event.to_bucket)
        case OrderFilled():
            fill = event.fill
            return FlowStep(
                fill.side.value,
                event.bucket,
                fill.lamports,
                mint=fill.mint,
                base_units=fill.base_units,
                fee_lamports=fill.network_fee_lamports,
                rent_lamports=fill.rent_lamports,
                wallet=event.wallet,
            )
        case WalletMoved():
            figures = ("carry", "", event.worth_lamports, "", event.mint, event.units)
            return FlowStep(*figures, wallet=event.from_wallet, to_wallet=event.to_wallet)


def events_of(key: str, ts_ns: int, steps: Sequence[FlowStep]) -> list[FlowEvent]:
    """Return the ledger's events of these entries; the same key and entries give the same events.

    Raises: InvalidInput for an entry that is none.
    """
    return [_event(f"{key}/{number}", key, ts_ns, step) for number, step in enumerate(steps)]


def _event(name: str, key: str, ts_ns: int, step: FlowStep) -> FlowEvent:
    match step.what:
        case "deposit":
            return CapitalDeposited(name, ts_ns, step.bucket, step.lamports, "came in, seen on chain", step.wallet)
        case "withdraw" | "sweep":
            reason = SWEPT if step.what == "sweep" else WITHDRAWN
            return CapitalWithdrawn(name, ts_ns, step.bucket, step.lamports, reason, step.wallet)
        case "close_account":
            why = "its account was closed, seen on chain"
            return AccountClosed(name, ts_ns, step.mint, step.lamports, why, step.wallet)
        case "fee":
            why = "of a transaction that was no trade"
            return FeePaid(name, ts_ns, step.bucket, step.lamports, why, step.wallet)
        case "move":
            return CapitalMoved(name, ts_ns, step.bucket, step.to_bucket, step.lamports, "pays a trade by hand")
        case "buy" | "sell":
            fill = Fill(
                order_id=name,
                ts_ns=ts_ns,
                side=Side(step.what),
                mint=step.mint,
                lamports=step.lamports,
                base_units=step.base_units,
                pool_fee_lamports=0,
                impact_lamports=0,
                network_fee_lamports=step.fee_lamports,
                priority_fee_lamports=0,
                rent_lamports=step.rent_lamports,
                slippage_bps=0,
            )
            return OrderFilled(derived_id("trj", key, step.mint), HAND, step.bucket, fill, step.wallet)
        case "carry":
            where = (step.wallet, step.to_wallet, step.mint)
            return WalletMoved(name, ts_ns, *where, step.base_units, step.lamports)
    msg = f"what: {step.what!r} is no entry of a flow"
    raise InvalidInput(msg, field="what")


def carried(
    book: WalletBook, payer: str, changes: Mapping[str, Mapping[str, int]], events: Sequence[FlowEvent], value: Value
) -> list[FlowStep]:
    """Return what makes the books of each wallet agree with the chain, once ``events`` have booked all of a transaction
    in ``payer``'s.

    ``changes``: by wallet, by mint, in base units (SOL, wrapped or not, under ``SOL_MINT``). Of tokens that no bucket
    has nothing is carried.
    """
    booked: dict[str, int] = {}
    for event in events:
        if isinstance(event, OrderFilled):
            sign = 1 if event.fill.side is Side.BUY else -1
            booked[event.fill.mint] = booked.get(event.fill.mint, 0) + sign * event.fill.base_units
    found: list[FlowStep] = []
    for name, change in changes.items():
        for mint, units in change.items() if name != payer else ():
            source, target = (payer, name) if units > 0 else (name, payer)
            part = abs(units)
            if mint != SOL_MINT:
                held = book.units(source, mint) + (booked.get(mint, 0) if source == payer else 0)
                part = min(part, max(0, held))
            worth = part if mint == SOL_MINT else value(mint, part) or 0
            if part:
                step = FlowStep("carry", "", worth, mint=mint, base_units=part, wallet=source, to_wallet=target)
                found.append(step)
    return found


@dataclass(slots=True)
class FlowDraft:
    """Events in the order in which they are to be booked, all in one wallet. ``cash_lamports`` is what they change the
    cash by."""

    key: str
    ts_ns: int
    bucket: str
    books: Books
    wallet: str = MAIN
    events: list[FlowEvent] = field(default_factory=list)
    cash_lamports: int = 0
    _cash: dict[str, int] = field(init=False)
    _returned: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._cash = dict(self.books.cash)

    def held_units(self, mint: str) -> int:
        return sum(units for (_, held), (units, _cost) in self.books.positions.items() if held == mint)

    def cost_of(self, mint: str, units: int) -> int:
        """Return what so many of the units held cost, rounded down."""
        held = self.held_units(mint)
        cost = sum(cost for (_, name), (_units, cost) in self.books.positions.items() if name == mint)
        return cost * units // held if held else 0

    def has_returned(self, mint: str) -> bool:
        """Tell whether the deposit of the mint's account came back with a sale."""
        return mint in self._returned

    def buy(self, mint: str, units: int, lamports: int, fee: int, deposit: int) -> bool:
        """Buy for the hand, with cash of other buckets where its own is not enough; False where there is too little."""
        rent = deposit if deposit > 0 and not self.books.deposits.get(mint) else 0
        if not self._fund(lamports + fee + rent):
            return False
        self._fill(self.bucket, Side.BUY, mint, units, (lamports, fee, rent), HAND)
        self._add(self.bucket, -lamports - fee - rent)
        return True

    def sell(self, mint: str, units: int, lamports: int, fee: int, deposit: int) -> None:
        """Sell so many units, at most those held: the hand's own first, then where most is held."""
        holders = sorted(
            ((name, held) for (name, token), (held, _) in self.books.positions.items() if token == mint and held),
            key=lambda each: (each[0] != self.bucket, -each[1], each[0]),
        )
        left_units, left_lamports = units, lamports
        for bucket, held in holders:
            part = min(held, left_units)
            if not part:
                break
            share = left_lamports * part // left_units
            left_units, left_lamports = left_units - part, left_lamports - share
            is_last = left_units == 0
            rent = deposit if is_last and deposit < 0 and self.books.deposits.get(mint) == -deposit else 0
            paid = fee if is_last and fee <= share else 0
            self._fill(bucket, Side.SELL, mint, part, (share, paid, rent), HAND)
            self._add(bucket, share - paid - rent)
            if rent:
                self._returned.add(mint)

    def return_deposit(self, mint: str) -> None:
        """Take the deposit of the mint's account back, which was closed; nothing where the books have none or it came
        back with a sale."""
        deposit = self.books.deposits.get(mint, 0)
        if deposit and mint not in self._returned:
            reason = "its account was closed, seen on chain"
            self.events.append(
                AccountClosed(f"{self.key}/closed/{mint}", self.ts_ns, mint, deposit, reason, self.wallet)
            )
            # Whose bucket paid it is the ledger's to know; here its cash only counts in the sum.
            self.cash_lamports += deposit
            self._returned.add(mint)

    def pay(self, lamports: int) -> bool:
        """Pay the fee of a transaction that was no trade, from where most cash is; False where there is too little."""
        name = max(self._cash, key=lambda each: (self._cash[each], each), default="")
        if self._cash.get(name, 0) < lamports:
            return False
        if lamports:
            reason = "of a transaction that was no trade"
            self.events.append(FeePaid(f"{self.key}/fee", self.ts_ns, name, lamports, reason, self.wallet))
            self._add(name, -lamports)
        return True

    def sweep(self, lamports: int) -> bool:
        """Take cash out of all buckets by what they have, so that they keep their proportion; False where there is too
        little."""
        held = {name: cash for name, cash in sorted(self._cash.items()) if cash > 0}
        total = sum(held.values())
        if total < lamports:
            return False
        left = lamports
        for number, (name, cash) in enumerate(held.items(), start=1):
            part = min(left, cash, -(-lamports * cash // total)) if number < len(held) else left
            if part:
                key = f"{self.key}/sweep/{name}"
                self.events.append(CapitalWithdrawn(key, self.ts_ns, name, part, SWEPT))
                self._add(name, -part)
                left -= part
        return True

    def bring_in(self, what: str, lamports: int) -> None:
        """Bring cash in for the hand."""
        if lamports > 0:
            key = f"{self.key}/{what}"
            where = (self.ts_ns, self.bucket, lamports)
            self.events.append(CapitalDeposited(key, *where, "came in, seen on chain", self.wallet))
            self._add(self.bucket, lamports)

    def take_out(self, what: str, lamports: int) -> bool:
        """Take cash out, the hand's own first, then where most is; False where there is too little."""
        if sum(cash for cash in self._cash.values() if cash > 0) < lamports:
            return False
        left = lamports
        for name in sorted(self._cash, key=lambda each: (each != self.bucket, -self._cash[each], each)):
            part = min(left, max(0, self._cash[name]))
            if part:
                key = f"{self.key}/{what}/{name}"
                self.events.append(CapitalWithdrawn(key, self.ts_ns, name, part, WITHDRAWN, self.wallet))
                self._add(name, -part)
                left -= part
        return True

    def flow(self, lamports: int, weights_bps: Sequence[tuple[str, int]]) -> bool:
        """Book what no trade explains: what came in is split by the weights; False where more went than there is."""
        if lamports < 0:
            return self.take_out("out", -lamports)
        left = lamports
        for name, weight in weights_bps:
            part = min(left, lamports * weight // BPS_ONE)
            if part:
                key = f"{self.key}/in/{name}"
                where = (self.ts_ns, name, part)
                self.events.append(CapitalDeposited(key, *where, "came in, seen on chain", self.wallet))
                self._add(name, part)
                left -= part
        self.bring_in("in", left)
        return True

    def _fund(self, lamports: int) -> bool:
        """Move cash to the hand until it has so much."""
        lacking = lamports - self._cash.get(self.bucket, 0)
        others = {name: cash for name, cash in self._cash.items() if name != self.bucket and cash > 0}
        if lacking > sum(others.values()):
            return False
        for name in sorted(others, key=lambda each: (-others[each], each)):
            part = min(lacking, others[name])
            if part <= 0:
                break
            key = f"{self.key}/fund/{name}/{len(self.events)}"
            self.events.append(CapitalMoved(key, self.ts_ns, name, self.bucket, part, "pays a trade by hand"))
            self._cash[name] -= part
            self._cash[self.bucket] = self._cash.get(self.bucket, 0) + part
            lacking -= part
        return True

    def _fill(self, bucket: str, side: Side, mint: str, units: int, money: tuple[int, int, int], strategy: str) -> None:
        lamports, fee, rent = money
        fill = Fill(
            order_id=f"{self.key}/{side.value}/{mint}/{bucket}",
            ts_ns=self.ts_ns,
            side=side,
            mint=mint,
            lamports=lamports,
            base_units=units,
            pool_fee_lamports=0,
            impact_lamports=0,
            network_fee_lamports=fee,
            priority_fee_lamports=0,
            rent_lamports=rent,
            slippage_bps=0,
        )
        self.events.append(OrderFilled(derived_id("trj", self.key, mint), strategy, bucket, fill, self.wallet))

    def _add(self, bucket: str, lamports: int) -> None:
        self._cash[bucket] = self._cash.get(bucket, 0) + lamports
        self.cash_lamports += lamports
