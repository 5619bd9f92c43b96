"""What is held: a position is the sum of its fills, in exact integers."""

from dataclasses import dataclass
from decimal import Decimal

from .units import sol_price_ratio


def token_value_lamports(base_units: int, price_sol: Decimal, decimals: int) -> int:
    """Return what ``base_units`` are worth at ``price_sol`` (SOL per whole token), rounded down.

    The price enters as an exact ratio, so the result is exact whatever its number of digits.
    """
    lamports, per_base_units = sol_price_ratio(price_sol, decimals)
    return base_units * lamports // per_base_units


@dataclass(frozen=True, slots=True)
class Position:
    """The open holding of one token in one bucket.

    ``cost_lamports`` is what the present units cost, pool, network and priority fees included, account rent not (it
    comes back). Average cost is the ratio ``cost_lamports / base_units`` and is never divided out.
    ``realised_lamports`` is what parts sold so far have brought. ``trajectory_id`` is that of the opening order.
    ``added_lamports`` is the part of the cost that came after the first purchase, ``last_buy_lamports`` what the newest
    purchase swapped.
    """

    bucket: str
    mint: str
    strategy: str
    trajectory_id: str
    opened_ns: int
    base_units: int
    cost_lamports: int
    realised_lamports: int = 0
    bought_lamports: int = 0
    sold_lamports: int = 0
    buys: int = 1
    added_lamports: int = 0
    last_buy_lamports: int = 0

    @property
    def risked_lamports(self) -> int:
        """What a stop is measured on: the cost without what was added, so that no addition puts more at risk."""
        return self.cost_lamports - self.added_lamports

    def value_lamports(self, price_sol: Decimal, decimals: int) -> int:
        """Return what the units are worth at a price, before the costs of selling them, rounded down."""
        return token_value_lamports(self.base_units, price_sol, decimals)

    def unrealised_lamports(self, value_lamports: int) -> int:
        """Return the profit if the position were sold for ``value_lamports``."""
        return value_lamports - self.cost_lamports


@dataclass(frozen=True, slots=True)
class Holding:
    """All positions in one token taken together, over every bucket: what anti-DCA looks at."""

    mint: str
    base_units: int
    cost_lamports: int

    def value_lamports(self, price_sol: Decimal, decimals: int) -> int:
        """Return what the units are worth at a price, before the costs of selling them, rounded down."""
        return token_value_lamports(self.base_units, price_sol, decimals)
