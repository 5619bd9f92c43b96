"""Withdrawals from an exchange to our wallet on Solana: a body of ``TransferDoor`` for real money.

Each carries a name of ours and is asked for once. Where the answer is lost, the exchange's own record of withdrawals is
searched for that name. It has left when that record names its transaction, and has come when the finalized transaction
shows what the wallet got; nothing else proves either.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final, Protocol

from trading.arbitrage.transfer_ports import Asset, Heard, TransferKept
from trading.arbitrage.transfers import Happening, TransferState
from trading.errors import ExchangeRefused, ExchangeUnavailable
from trading.model.chain import TransactionSeen
from trading.model.units import NS_PER_S
from trading.ports import Clock

from .client import ExchangeClient
from .gateway import order_name

NAMES: Final[Mapping[str, str]] = {"binance": "withdrawOrderId", "binanceus": "withdrawOrderId"}
"""By exchange, the field of a withdrawal that takes a name of ours; without one a lost answer could not be looked up,
so there are no withdrawals at any other."""
_GONE: Final = frozenset({"failed", "canceled"})
_SIGN_WITHIN_S: Final = 5.0
_SEARCHED_BEFORE_MS: Final = 60_000
_SEARCHED_MS: Final = 6 * 86_400_000
"""Binance takes a search by name over less than seven days alone."""

_FOUND_MAX: Final = 1_000
_EXCHANGE_STEP: Final = Decimal("0.00000001")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Coin:
    """``name`` and ``network`` as the exchange writes them; ``mint`` is "" for SOL itself; ``most`` in smallest units,
    0 for none."""

    name: str
    network: str
    mint: str
    decimals: int
    most: int


@dataclass(frozen=True, slots=True)
class WithdrawalRules:
    """``exchange`` is one of ``NAMES``. ``address`` is the only one that is ever written into a request. What the
    exchange does not know ``lost_after_s`` after it was asked for was never taken. ``problem`` says why nothing may
    leave now: "" while real money is armed. The record of withdrawals is asked for once in ``ask_every_s`` for each:
    Binance lets an account ask ten times a minute, and whoever asks more often may not trade for a while."""

    exchange: str
    address: str
    coins: Mapping[Asset, Coin]
    problem: Callable[[], str]
    lost_after_s: float = 900.0
    ask_every_s: float = 120.0


class Finalized(Protocol):
    """``ports.Chain`` as far as arrivals need it."""

    async def transaction(self, signature: str) -> TransactionSeen | None: ...


class ExchangeWithdrawals:
    """One per pair. ``client`` returns what signs with the key, or raises ExchangeUnavailable while nothing does."""

    def __init__(
        self, client: Callable[[], ExchangeClient], chain: Finalized, rules: WithdrawalRules, clock: Clock
    ) -> None:
        self._client = client
        self._chain = chain
        self._rules = rules
        self._clock = clock
        self._name_field = NAMES[rules.exchange]
        self._asked_ns: dict[str, int] = {}

    def most(self, asset: Asset) -> int:
        coin = self._rules.coins.get(asset)
        return 0 if coin is None else coin.most

    async def hand_in(self, kept: TransferKept) -> Heard | None:
        coin, why = self._rules.coins.get(kept.asset), self._rules.problem()
        if coin is None or kept.transfer.amount > coin.most:
            why = "no withdrawal of this coin, or of this size, is allowed"
        if coin is None or why:
            logger.warning("transfer %s is not asked for: %s", kept.transfer.id, why)
            return Heard(Happening.NEVER_LEFT)
        amount = Decimal(kept.transfer.amount).scaleb(-coin.decimals).quantize(_EXCHANGE_STEP, ROUND_FLOOR)
        params = {"network": coin.network, self._name_field: order_name(kept.transfer.id)}
        sign_by_ns = kept.sent_ns + int(_SIGN_WITHIN_S * NS_PER_S)
        call = (coin.name, f"{amount:f}", self._rules.address)
        try:
            await self._client().call("withdraw", *call, params=params, sign_by_ns=sign_by_ns)
        except ExchangeRefused as error:
            logger.warning("transfer %s was refused: %s", kept.transfer.id, error)
            return Heard(Happening.NEVER_LEFT)
        return None  # taken; that it left is seen when its transaction is named

    async def heard(self, kept: TransferKept) -> Sequence[Heard]:
        coin = self._rules.coins.get(kept.asset)
        if coin is None or kept.transfer.state in (TransferState.RETURNED, TransferState.PLANNED):
            return ()
        asked_ns = self._clock.now_ns()
        since_ns = asked_ns - int(self._rules.ask_every_s * NS_PER_S)
        self._asked_ns = {name: at_ns for name, at_ns in self._asked_ns.items() if at_ns > since_ns}
        if kept.transfer.id in self._asked_ns:
            return ()
        self._asked_ns[kept.transfer.id] = asked_ns
        row = await self._row(kept, coin)
        if row is None:
            is_lost = asked_ns - kept.sent_ns >= self._rules.lost_after_s * NS_PER_S
            return (Heard(Happening.NEVER_LEFT),) if is_lost and not kept.transfer.has_left else ()
        if row.get("status") in _GONE:
            return (Heard(Happening.NEVER_LEFT),)
        signature = str(row.get("txid") or "")
        if not signature:
            return ()
        units = await self._arrived(signature, coin)
        if units is None:
            return (Heard(Happening.LEFT),)
        if not 0 < units <= kept.transfer.amount:
            msg = f"transfer {kept.transfer.id}: {units} came in {signature}, of {kept.transfer.amount}"
            raise ExchangeUnavailable(msg)
        return (Heard(Happening.LEFT), Heard(Happening.CAME, units))

    async def _row(self, kept: TransferKept, coin: Coin) -> Mapping[str, Any] | None:
        """Return the exchange's own record of a withdrawal. Raises: ExchangeUnavailable, ExchangeRefused."""
        name = order_name(kept.transfer.id)
        since_ms = kept.sent_ns // 1_000_000 - _SEARCHED_BEFORE_MS
        params = {self._name_field: name, "endTime": since_ms + _SEARCHED_MS}
        found = await self._client().call("fetch_withdrawals", coin.name, since_ms, _FOUND_MAX, params=params)
        named = [each for each in found if (each.get("info") or {}).get(self._name_field) == name]
        if len(named) > 1:
            msg = f"{self._rules.exchange} tells {len(named)} withdrawals of one name"
            raise ExchangeUnavailable(msg)
        return named[0] if named else None

    async def _arrived(self, signature: str, coin: Coin) -> int | None:
        """Return what our wallet got in a finalized transaction, None while there is none. Raises: ChainUnavailable."""
        seen = await self._chain.transaction(signature)
        if seen is None or seen.error:
            return None
        wallet = self._rules.address
        if not coin.mint:
            before, after = seen.lamports.get(wallet, (0, 0))
            return after - before
        ours = [each for each in seen.tokens if each.owner == wallet and each.mint == coin.mint]
        return sum((each.after_units or 0) - (each.before_units or 0) for each in ours)
