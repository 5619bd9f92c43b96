"""What a day of questions may cost, in tokens and micro-USD; whole numbers, and written down before anything is spent.

Before a question the most that it can cost is taken from the day; when its answer tells what it did cost, the rest
comes back. A question that is never answered is paid for in full: the other side may charge it. So neither a crash nor
a server that says nothing of its usage spends more than the day has.
"""

from dataclasses import dataclass, replace
from typing import Final, Protocol

from trading.model.units import NS_PER_S, ceil_div

DAY_NS: Final = 86_400 * NS_PER_S
_MILLION: Final = 1_000_000
BYTES_PER_TOKEN: Final = 3
"""An estimate on the dear side: English has about four bytes a token, JSON about three."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Micro-USD for a million tokens, of the question and of the answer."""

    in_micro_usd: int
    out_micro_usd: int

    def cost_micro_usd(self, tokens_in: int, tokens_out: int) -> int:
        """Return what these tokens cost, rounded up."""
        return ceil_div(tokens_in * self.in_micro_usd + tokens_out * self.out_micro_usd, _MILLION)


@dataclass(frozen=True, slots=True)
class DayLimits:
    """The most of a day (UTC)."""

    calls: int
    tokens: int
    micro_usd: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What a day has spent, reservations included. ``day``: days since 1970, UTC."""

    day: int = 0
    calls: int = 0
    tokens: int = 0
    micro_usd: int = 0


class SpendStore(Protocol):
    """Keeps what the day has spent. Raises: OSError where it cannot be kept; then nothing may be spent."""

    def load(self) -> Spent:
        """Return what was kept last, an empty day where nothing was."""

    def save(self, spent: Spent) -> None:
        """Keep it, durably."""


@dataclass(frozen=True, slots=True)
class Reservation:
    day: int
    tokens: int
    micro_usd: int


class Budget:
    """Not for two threads at a time. ``reserve`` before a question, ``settle`` when its usage is known."""

    def __init__(self, limits: DayLimits, prices: Prices, spent: Spent) -> None:
        self._limits = limits
        self.prices = prices
        self.spent = spent

    def reserve(self, now_ns: int, tokens_in: int, tokens_out: int) -> Reservation | None:
        """Take the most that a question can cost; None where the day has not so much left."""
        day = now_ns // DAY_NS
        spent = self.spent if self.spent.day >= day else Spent(day)
        cost = self.prices.cost_micro_usd(tokens_in, tokens_out)
        wanted = replace(
            spent,
            calls=spent.calls + 1,
            tokens=spent.tokens + tokens_in + tokens_out,
            micro_usd=spent.micro_usd + cost,
        )
        limits = self._limits
        if wanted.calls > limits.calls or wanted.tokens > limits.tokens or wanted.micro_usd > limits.micro_usd:
            return None
        self.spent = wanted
        return Reservation(spent.day, tokens_in + tokens_out, cost)

    def settle(self, reserved: Reservation, tokens_in: int, tokens_out: int) -> int:
        """Put what it did cost in the place of what was reserved; return that, in micro-USD.

        Usage above the reservation counts in full: what is told is what is charged.
        """
        cost = self.prices.cost_micro_usd(tokens_in, tokens_out)
        if reserved.day == self.spent.day:
            self.spent = replace(
                self.spent,
                tokens=max(0, self.spent.tokens + tokens_in + tokens_out - reserved.tokens),
                micro_usd=max(0, self.spent.micro_usd + cost - reserved.micro_usd),
            )
        return cost

    def left(self, now_ns: int) -> DayLimits:
        """Return what the day has left."""
        spent = self.spent if self.spent.day >= now_ns // DAY_NS else Spent()
        limits = self._limits
        return DayLimits(
            max(0, limits.calls - spent.calls),
            max(0, limits.tokens - spent.tokens),
            max(0, limits.micro_usd - spent.micro_usd),
        )


def tokens_of(text: str) -> int:
    """Return how many tokens a text has at most, about."""
    return ceil_div(len(text.encode()), BYTES_PER_TOKEN)
