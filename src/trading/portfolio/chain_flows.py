"""Money that moves by itself: what finalized transactions that are none of ours did to the wallets, as ledger events.

Deposits, withdrawals and trades by hand are booked so that the cash of the books stays the SOL of the wallets (native
and wrapped), to the lamport, whatever was done. Whoever signed with a key of ours without an intent of ours is told
of. Transactions between our own wallets only cost their fee.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trading.model.chain import TransactionSeen
from trading.model.intent import SOL_MINT
from trading.model.wallet import MAIN

from .flow_booking import Books, FlowDraft, FlowEvent, Value

SIGNATURES_MAX: Final = 100_000


class Foreign(StrEnum):
    """What becomes of tokens that come to a wallet without being bought. ADOPT: they belong to the bucket of the hand
    from now on, at what they could be sold for, as a deposit. LEAVE: they are told of and never traded. IGNORE: as
    LEAVE, without a word."""

    ADOPT = "adopt"
    LEAVE = "leave"
    IGNORE = "ignore"


class AlarmKind(StrEnum):
    SIGNED_WITHOUT_INTENT = "signed_without_intent"
    TOKEN_TAKEN = "token_taken"  # noqa: S105 - it went out without our signature
    BOOKS_SHORT = "books_short"
    UNCLEAR = "unclear"
    FOREIGN_ARRIVED = "foreign_arrived"


@dataclass(frozen=True, slots=True)
class FlowRules:
    """``bucket`` holds what is done by hand. ``weights_bps``: how SOL that comes in is split over buckets, the rest
    goes to ``bucket``. ``banned`` mints are outside of the desk: what is paid for them is a withdrawal.
    ``expects_hand``: a trade by hand is told of and does not halt its wallet."""

    bucket: str = "manual"
    weights_bps: tuple[tuple[str, int], ...] = ()
    foreign: Foreign = Foreign.LEAVE
    banned: frozenset[str] = frozenset()
    expects_hand: bool = False


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something for a person to see. ``halts``: the wallets of the transaction are to halt until it is answered."""

    kind: AlarmKind
    signature: str
    message: str
    halts: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What a transaction did to all our wallets together. ``cash_lamports`` is the change of native and wrapped SOL,
    ``deposits`` that of the rent deposits of token accounts by mint, ``units`` that of tokens. ``fee_lamports`` is what
    we were told that we paid, a part of ``cash_lamports``. ``closed`` are mints of which an account is gone."""

    cash_lamports: int
    deposits: Mapping[str, int]
    units: Mapping[str, int]
    fee_lamports: int
    is_signed: bool
    closed: frozenset[str] = frozenset()

    @property
    def swapped_lamports(self) -> int:
        """The cash that went neither into fees nor into deposits."""
        return self.cash_lamports + self.fee_lamports + sum(self.deposits.values())


@dataclass(frozen=True, slots=True)
class Told:
    """What a transaction means for the books, and for a person. The events are to be booked together or not at all."""

    events: tuple[FlowEvent, ...] = ()
    alarms: tuple[Alarm, ...] = ()


def change_of(wallets: frozenset[str], seen: TransactionSeen) -> Change:
    """Return what the transaction did to these wallets together."""
    cash = sum(after - before for wallet, (before, after) in seen.lamports.items() if wallet in wallets)
    deposits: dict[str, int] = {}
    units: dict[str, int] = {}
    closed: set[str] = set()
    loses = any(after < before for wallet, (before, after) in seen.lamports.items() if wallet in wallets)
    for balance in seen.tokens:
        if balance.owner not in wallets:
            continue
        moved = (balance.after_units or 0) - (balance.before_units or 0)
        before, after = seen.lamports.get(balance.account, (0, 0))
        deposit = after - before
        if before and not after:
            closed.add(balance.mint)
        if balance.mint == SOL_MINT:
            cash += moved
            deposit -= moved
        else:
            units[balance.mint] = units.get(balance.mint, 0) + moved
        deposits[balance.mint] = deposits.get(balance.mint, 0) + deposit
    is_payer = seen.payer in wallets
    return Change(
        cash_lamports=cash,
        deposits={mint: lamports for mint, lamports in deposits.items() if lamports},
        units={mint: moved for mint, moved in units.items() if moved},
        fee_lamports=seen.reported_fee_lamports if is_payer else 0,
        # Nobody pays a fee, or SOL out of an account of their own, without their signature.
        is_signed=is_payer or loses,
        closed=frozenset(closed),
    )


class ChainFlows:
    """Fold of finalized transactions, oldest first. ``foreign`` are tokens in the wallets that no bucket has."""

    def __init__(self, wallets: frozenset[str], rules: FlowRules, foreign: Mapping[str, int] | None = None) -> None:
        self._wallets = wallets
        self._rules = rules
        self.foreign: dict[str, int] = dict(foreign or {})
        self._seen: dict[str, None] = {}

    def take(
        self,
        seen: TransactionSeen,
        books: Books,
        value: Value,
        now_ns: int,
        known: Collection[str] | None = None,
        wallet: str = MAIN,
    ) -> Told:
        """Return what a transaction means that none of our intents made. One that was taken before means nothing.

        ``books`` are those of after everything that was told before. Mints that are not ``known`` (None: all are) are
        outside of the desk, as banned ones are. All of it is told as of one ``wallet``; ``flow_booking.carried`` says
        what of it lies in others.
        """
        if seen.signature in self._seen:
            return Told()
        self._seen[seen.signature] = None
        if len(self._seen) > SIGNATURES_MAX:
            del self._seen[next(iter(self._seen))]
        change = change_of(self._wallets, seen)
        alarms: list[Alarm] = []

        def alarm(kind: AlarmKind, message: str, *, halts: bool) -> None:
            alarms.append(Alarm(kind, seen.signature, message, halts))

        if change.is_signed:
            message = "it was signed by a key of this desk and is none of its orders"
            alarm(AlarmKind.SIGNED_WITHOUT_INTENT, message, halts=not self._rules.expects_hand)
        kept = dict(self.foreign)
        draft = FlowDraft(f"chain/{seen.signature}", now_ns, self._rules.bucket, books, wallet)
        inside = {mint for mint in change.units if mint not in self._rules.banned and (known is None or mint in known)}
        is_booked = self._book(change, draft, value, alarm, inside)
        if not is_booked:
            self.foreign = kept
            message = f"the books have less than what left the wallets: {-change.cash_lamports} lamports net"
            alarm(AlarmKind.BOOKS_SHORT, message, halts=True)
            return Told((), tuple(alarms))
        return Told(tuple(draft.events), tuple(alarms))

    def _book(
        self, change: Change, draft: FlowDraft, value: Value, alarm: Callable[..., None], inside: Collection[str]
    ) -> bool:
        scoped = {mint: moved for mint, moved in change.units.items() if mint in inside}
        came = {mint: moved for mint, moved in scoped.items() if moved > 0}
        went = {mint: -moved for mint, moved in scoped.items() if moved < 0}
        is_whole = len(scoped) == len(change.units)
        swapped, fee = change.swapped_lamports, change.fee_lamports
        fits = True
        if is_whole and len(came) == 1 and not went and swapped < 0:
            [(mint, units)] = came.items()
            fits = draft.buy(mint, units, -swapped, fee, change.deposits.get(mint, 0))
        elif is_whole and len(went) == 1 and not came and swapped > 0:
            [(mint, units)] = went.items()
            self._sell(draft, (mint, units), swapped, fee, change.deposits.get(mint, 0))
        elif is_whole and len(went) == len(came) == 1 and change.is_signed:
            fits = self._swap(draft, next(iter(went.items())), next(iter(came.items())), value)
        else:
            if len(scoped) > 1:
                alarm(AlarmKind.UNCLEAR, f"it moved {len(scoped)} tokens at once", halts=change.is_signed)
            for mint, units in went.items():
                self._gone(draft, (mint, units), change, value, alarm)
            for mint, units in came.items():
                self._arrived(draft, (mint, units), value, alarm)
        for mint in sorted(change.closed):
            # What the account held above its deposit, which anybody can send it, came in.
            if -change.deposits.get(mint, 0) >= draft.books.deposits.get(mint, 0):
                draft.return_deposit(mint)
        # Whatever no trade explains came in or went out.
        return fits and draft.flow(change.cash_lamports - draft.cash_lamports, self._rules.weights_bps)

    def _sell(self, draft: FlowDraft, sold: tuple[str, int], lamports: int, fee: int, deposit: int) -> None:
        """Book a sale by hand. What no bucket has is sold first; its proceeds come in like a deposit."""
        mint, units = sold
        booked = min(units - self._take_foreign(mint, units), draft.held_units(mint))
        if booked:
            draft.sell(mint, booked, lamports * booked // units, fee, deposit)

    def _swap(self, draft: FlowDraft, sold: tuple[str, int], bought: tuple[str, int], value: Value) -> bool:
        """Book a trade of one token for another, at what either could be sold for."""
        mint, units = sold
        booked = min(units - self._take_foreign(mint, units), draft.held_units(mint))
        worth = _first_known(value(*bought), value(mint, units), draft.cost_of(mint, booked))
        share = worth * booked // units
        if booked:
            draft.sell(mint, booked, share, 0, 0)
        draft.bring_in("swap", worth - share)
        return draft.buy(*bought, worth, 0, 0)

    def _gone(
        self, draft: FlowDraft, out: tuple[str, int], change: Change, value: Value, alarm: Callable[..., None]
    ) -> None:
        """Book tokens that left for nothing: withdrawn where we signed, else they are a loss."""
        mint, units = out
        booked = min(units - self._take_foreign(mint, units), draft.held_units(mint))
        if not change.is_signed:
            message = f"{units} of {mint} went out without a signature of ours"
            alarm(AlarmKind.TOKEN_TAKEN, message, halts=True)
        if not booked:
            return
        worth = _first_known(value(mint, booked), draft.cost_of(mint, booked)) if change.is_signed else 0
        draft.sell(mint, booked, worth, 0, 0)
        draft.take_out(f"kind/{mint}", worth)

    def _arrived(self, draft: FlowDraft, came: tuple[str, int], value: Value, alarm: Callable[..., None]) -> None:
        """Take tokens in that nobody paid for, as the operator says."""
        mint, units = came
        worth = value(mint, units) if self._rules.foreign is Foreign.ADOPT else None
        if worth:
            draft.bring_in(f"kind/{mint}", worth)
            draft.buy(mint, units, worth, 0, 0)
            return
        self.foreign[mint] = self.foreign.get(mint, 0) + units
        if self._rules.foreign is not Foreign.IGNORE:
            why = "it has no price" if self._rules.foreign is Foreign.ADOPT else "it is left alone"
            alarm(AlarmKind.FOREIGN_ARRIVED, f"{units} of {mint} came in; {why}", halts=False)

    def _take_foreign(self, mint: str, units: int) -> int:
        """Take units out that no bucket has; return how many there were."""
        had = self.foreign.get(mint, 0)
        taken = min(had, units)
        self.foreign[mint] = had - taken
        if not self.foreign[mint]:
            del self.foreign[mint]
        return taken


def unexplained(books: Books, units: Mapping[str, int], foreign: Mapping[str, int]) -> dict[str, int]:
    """Return what finalized balances have beyond the books and what is foreign; below 0: it is missing.

    ``units`` are base units by mint, native and wrapped SOL together as ``SOL_MINT``. Empty where they agree.
    """
    wanted: dict[str, int] = dict(foreign)
    for (_, mint), (held, _cost) in books.positions.items():
        wanted[mint] = wanted.get(mint, 0) + held
    wanted[SOL_MINT] = sum(books.cash.values())
    return {
        mint: units.get(mint, 0) - wanted.get(mint, 0)
        for mint in sorted({*units, *wanted})
        if units.get(mint, 0) != wanted.get(mint, 0)
    }


def _first_known(*values: int | None) -> int:
    return next((value for value in values if value is not None), 0)
