"""Many wallets as one desk uses them: what is promised to orders, which wallet trades, what is kept for exits.

All amounts are base units of a mint; of ``SOL_MINT`` one unit is a lamport of the wallet's native balance. What an
order may take is reserved before anything of it is signed, and released once, by whichever comes first: its
settlement or its end. A repeat changes nothing, in whatever order things are heard of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from trading.errors import InvalidInput
from trading.model.identifiers import derived_id
from trading.model.intent import SOL_MINT
from trading.model.order import Denied
from trading.model.units import NS_PER_S, sol_text

WALLET_RENT_LAMPORTS: Final = 890_880
"""Below this deposit the chain does not let an account without data exist (solana.com/docs/core/accounts)."""
TOKEN_ACCOUNT_RENT_LAMPORTS: Final = 2_039_280
"""The deposit of a token account; a sale opens one for wrapped SOL for as long as the transaction takes."""
DAY_NS: Final = 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True)
class WalletRules:
    """``exit_fee_lamports``: what one sale may cost at the cap of fees. ``rent_lamports`` is kept whatever is held.
    ``reservations_len_max`` bounds the open orders of one wallet. ``quote_mints`` are traded against each other and
    against everything, so that two orders in opposite directions are no crossing."""

    exit_fee_lamports: int
    rent_lamports: int = WALLET_RENT_LAMPORTS + TOKEN_ACCOUNT_RENT_LAMPORTS
    reservations_len_max: int = 64
    settled_len_max: int = 100_000
    quote_mints: frozenset[str] = frozenset({SOL_MINT})


@dataclass(frozen=True, slots=True)
class SweepPolicy:
    """What is above ``working_lamports`` in a wallet goes to ``cold_address``, at least ``step_lamports_min`` at once
    and once a day (UTC): a sweep costs a fee. It never touches what the exits need."""

    cold_address: str
    working_lamports: int
    step_lamports_min: int


@dataclass(frozen=True, slots=True)
class Wish:
    """An order before it has a wallet. ``id`` is that of the intent, ``strategy`` whose order it is."""

    id: str
    strategy: str
    in_mint: str
    out_mint: str
    amount_in: int
    fee_lamports: int
    is_exit: bool


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an order of this wallet may take at most, until it has ended."""

    wish: Wish
    wallet: str

    @property
    def claims(self) -> dict[str, int]:
        found = {self.wish.in_mint: self.wish.amount_in}
        found[SOL_MINT] = found.get(SOL_MINT, 0) + self.wish.fee_lamports
        return found


@dataclass(frozen=True, slots=True)
class TransferWanted:
    """Native SOL from a wallet to an address, at most once per key."""

    key: str
    wallet: str
    to_address: str
    lamports: int
    reason: str


@dataclass(slots=True)
class _Wallet:
    units: dict[str, int] = field(default_factory=dict)
    open: dict[str, Reservation] = field(default_factory=dict)
    halted: str = ""

    def claimed(self, mint: str) -> int:
        return sum(each.claims.get(mint, 0) for each in self.open.values())

    def free(self, mint: str) -> int:
        return self.units.get(mint, 0) - self.claimed(mint)


class WalletBook:
    """The wallets of one desk. A refusal is a ``Denied``; nothing has changed then."""

    def __init__(self, rules: WalletRules) -> None:
        self._rules = rules
        self._wallets: dict[str, _Wallet] = {}
        self._places: dict[str, str] = {}
        """The wallet of each open reservation."""
        self._ended: dict[str, Reservation] = {}

    # What the chain says

    def observe(self, wallet: str, units: Mapping[str, int]) -> Mapping[str, int]:
        """Take a wallet's balances as the chain has them. Return by how much what is promised is no longer covered,
        by mint: somebody took it out.

        Raises: InvalidInput for a balance below 0.
        """
        for mint, amount in units.items():
            if amount < 0:
                msg = f"units: {amount} of {mint} in {wallet} is no balance"
                raise InvalidInput(msg, field="units")
        book = self._wallets.setdefault(wallet, _Wallet())
        book.units = {mint: amount for mint, amount in units.items() if amount}
        claimed = {mint for each in book.open.values() for mint in each.claims}
        return {mint: -free for mint in sorted(claimed) if (free := book.free(mint)) < 0}

    def halt(self, wallet: str, problem: str) -> None:
        """Let the wallet open nothing; "" ends it. Exits are not decided here: who halts decides about them."""
        self._wallets.setdefault(wallet, _Wallet()).halted = problem

    # What is promised

    def reserve(self, wish: Wish, wallet: str) -> Reservation | Denied:
        """Promise a wallet's units to an order; the same wish again returns what was promised.

        Raises: InvalidInput for an amount that is none, or an id that stands for another order.
        """
        _check(wish)
        known = self.reservation(wish.id) or self._ended.get(wish.id)
        if known is not None:
            if known != Reservation(wish, wallet):
                msg = f"id: {wish.id} stands for {known.wish} in {known.wallet}"
                raise InvalidInput(msg, field="id")
            return known
        denied = self.crossing_denied(wish) or self._room_denied(wish, wallet)
        if denied is not None:
            return denied
        found = Reservation(wish, wallet)
        self._wallets[wallet].open[wish.id] = found
        self._places[wish.id] = wallet
        return found

    def reservation(self, intent_id: str) -> Reservation | None:
        """Return what an order that has not ended was promised."""
        place = self._places.get(intent_id)
        return None if place is None else self._wallets[place].open[intent_id]

    def release(self, intent_id: str) -> bool:
        """Take the promise back; only the first time is there one to take."""
        return self._ends(intent_id) is not None

    def settle(self, intent_id: str, changes: Mapping[str, int]) -> bool:
        """Release an order and book what it did to its wallet's balances, by mint; once, whatever is heard again.

        Raises: InvalidInput where a balance would fall below 0: the chain said something else than the book, so the
        wallet is to be observed anew.
        """
        found = self.reservation(intent_id)
        if found is None:
            return False
        units = self._wallets[found.wallet].units
        after = {mint: units.get(mint, 0) + change for mint, change in changes.items()}
        short = [mint for mint, amount in after.items() if amount < 0]
        if short:
            msg = f"changes: {found.wallet} has {units.get(short[0], 0)} of {short[0]}, {changes[short[0]]} is too much"
            raise InvalidInput(msg, field="changes")
        self._ends(intent_id)
        for mint, amount in after.items():
            if amount:
                units[mint] = amount
            else:
                units.pop(mint, None)
        return True

    def _ends(self, intent_id: str) -> Reservation | None:
        place = self._places.pop(intent_id, None)
        if place is None:
            return None
        found = self._wallets[place].open.pop(intent_id)
        self._ended[intent_id] = found
        if len(self._ended) > self._rules.settled_len_max:
            del self._ended[next(iter(self._ended))]
        return found

    # Reading

    @property
    def wallets(self) -> list[str]:
        return list(self._wallets)

    def units(self, wallet: str, mint: str) -> int:
        return self._of(wallet).units.get(mint, 0)

    def reserved(self, wallet: str, mint: str) -> int:
        return self._of(wallet).claimed(mint)

    def free(self, wallet: str, mint: str) -> int:
        """Return what no order was promised; below 0 where somebody took out what was."""
        return self._of(wallet).free(mint)

    def exit_reserve_lamports(self, wallet: str, opening: str = "") -> int:
        """Return the SOL that this wallet keeps so that everything in it can be sold: held tokens, tokens under way to
        it, and ``opening``, where it is about to buy that."""
        book = self._of(wallet)
        held = {mint for mint in book.units if mint not in self._rules.quote_mints}
        coming = {each.wish.out_mint for each in book.open.values()} | {opening}
        held |= {mint for mint in coming if mint and mint not in self._rules.quote_mints}
        return self._rules.rent_lamports + len(held) * self._rules.exit_fee_lamports

    # Which wallet

    def choose(self, wish: Wish) -> str | Denied:
        """Return the wallet for an order: one that holds the token already, so that one sale gets all of it; of
        several the one with most to spare."""
        _check(wish)
        denied = self.crossing_denied(wish)
        if denied is not None:
            return denied
        refusals = {wallet: self._room_denied(wish, wallet) for wallet in self._wallets}
        able = [wallet for wallet, refusal in refusals.items() if refusal is None]
        if able:
            return min(able, key=lambda wallet: self._rank(wish, wallet))
        nearest = max(self._wallets, key=lambda wallet: (self.free(wallet, wish.in_mint), wallet), default="")
        refusal = refusals.get(nearest)
        return refusal or Denied("wallet_unknown", "the desk has no wallet")

    def parts_of_exit(self, mint: str, units: int) -> tuple[tuple[str, int], ...]:
        """Return from which wallets so much of a token is sold, (wallet, base units), the fullest first; less in sum
        where less is free."""
        left = units
        found: list[tuple[str, int]] = []
        for wallet in sorted(self._wallets, key=lambda each: (-self.free(each, mint), each)):
            part = min(left, max(0, self.free(wallet, mint)))
            if part > 0:
                found.append((wallet, part))
                left -= part
        return tuple(found)

    def crossing(self, wish: Wish) -> tuple[Reservation, ...]:
        """Return the open orders, in any wallet and of any strategy, that trade the same token the other way: they
        would trade with each other."""
        quotes = self._rules.quote_mints
        sold, bought = {wish.in_mint} - quotes, {wish.out_mint} - quotes
        return tuple(
            each
            for book in self._wallets.values()
            for each in book.open.values()
            if each.wish.id != wish.id and (each.wish.out_mint in sold or each.wish.in_mint in bought)
        )

    def crossing_denied(self, wish: Wish) -> Denied | None:
        """An order that would cross another waits until that has ended, an exit too: who wants it sooner cancels the
        entries that ``crossing`` names."""
        crossed = self.crossing(wish)
        if not crossed:
            return None
        other = crossed[0]
        message = (
            f"{other.wish.strategy} trades the token the other way in {other.wallet} (intent {other.wish.id}); "
            f"{len(crossed)} such orders are open"
        )
        return Denied("own_order_crosses", message, 0, len(crossed))

    def _room_denied(self, wish: Wish, wallet: str) -> Denied | None:
        book = self._wallets.get(wallet)
        if book is None:
            return Denied("wallet_unknown", f"{wallet} is no wallet of this desk")
        if book.halted and not wish.is_exit:
            return Denied("wallet_halted", f"{wallet} is halted: {book.halted}")
        most = self._rules.reservations_len_max
        if len(book.open) >= most:
            return Denied("wallet_orders", f"{wallet} has {len(book.open)} orders open", most, len(book.open))
        claims = Reservation(wish, wallet).claims
        for mint, amount in claims.items():
            free = book.free(mint)
            if amount > free:
                message = f"{wallet} has {max(0, free)} of {mint} to spare, {amount} are wanted"
                return Denied("wallet_balance", message, max(0, free), amount)
        if wish.is_exit:
            return None
        left = book.free(SOL_MINT) - claims[SOL_MINT]
        reserve = self.exit_reserve_lamports(wallet, opening=wish.out_mint)
        if left < reserve:
            message = f"{wallet} would have {sol_text(left)} SOL left, its exits need {sol_text(reserve)}"
            return Denied("wallet_exit_reserve", message, reserve, left)
        return None

    def _rank(self, wish: Wish, wallet: str) -> tuple[bool, int, str]:
        token = wish.in_mint if wish.is_exit else wish.out_mint
        return (self.units(wallet, token) == 0, -self.free(wallet, wish.in_mint), wallet)

    def _of(self, wallet: str) -> _Wallet:
        return self._wallets.get(wallet) or _Wallet()

    # Profit

    def sweep(self, wallet: str, policy: SweepPolicy, now_ns: int, fee_lamports: int) -> TransferWanted | None:
        """Return what is to go to the cold address now, None where it is not worth it.

        Raises: InvalidInput where the cold address is a wallet of this desk, or none.
        """
        if not policy.cold_address or policy.cold_address in self._wallets:
            msg = f"cold_address: {policy.cold_address!r} is no address outside of this desk"
            raise InvalidInput(msg, field="cold_address")
        if self._of(wallet).halted:
            return None
        kept = max(policy.working_lamports, self.exit_reserve_lamports(wallet))
        lamports = self.free(wallet, SOL_MINT) - kept - fee_lamports
        if lamports < max(1, policy.step_lamports_min):
            return None
        key = derived_id("swp", wallet, policy.cold_address, now_ns // DAY_NS)
        reason = f"above the working capital of {sol_text(policy.working_lamports)} SOL"
        return TransferWanted(key, wallet, policy.cold_address, lamports, reason)


def _check(wish: Wish) -> None:
    if wish.amount_in <= 0 or wish.fee_lamports < 0:
        msg = f"amount_in: {wish.amount_in} with a fee of {wish.fee_lamports} is no order"
        raise InvalidInput(msg, field="amount_in")
    if wish.in_mint == wish.out_mint:
        msg = f"out_mint: {wish.out_mint} is swapped for itself"
        raise InvalidInput(msg, field="out_mint")
