"""Who is about to trade a token: of two agents with the same or the opposite wish the second is told of the first.

A preview reserves its token for its agent until it expires; an order on it prolongs that, so that the other can read
how it went. Exits are nobody's to hold up: closing a position asks nothing here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from trading.model.order import Denied

TOKENS_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Reservation:
    """``order_id`` and ``trajectory_id`` are empty until the agent's order has them."""

    mint: str
    agent: str
    wish: str
    until_s: float
    order_id: str = ""
    trajectory_id: str = ""

    def told(self, symbol: str, now_s: float) -> Denied:
        """Return what the second agent is answered."""
        seconds = max(1, round(self.until_s - now_s))
        how = f"its order {self.order_id}" if self.order_id else "a preview"
        trail = f", trajectory {self.trajectory_id}" if self.trajectory_id else ""
        message = (
            f"{self.agent} holds {symbol} for {seconds} s more: {how} to {self.wish}{trail}. Ask why, agree with it, "
            "or come back then; close_position is never held up"
        )
        return Denied("held_by_another_agent", message)


class Reservations:
    """By token; what has run out makes room. Bounded by ``TOKENS_MAX``."""

    def __init__(self, expiry_s: float, monotonic_s: Callable[[], float]) -> None:
        self._expiry_s = expiry_s
        self._monotonic_s = monotonic_s
        self._held: dict[str, Reservation] = {}

    def of_another(self, mints: Iterable[str], agent: str) -> Reservation | None:
        """Return what another agent holds of these, None where nobody does."""
        now_s = self._monotonic_s()
        for mint in mints:
            held = self._held.get(mint)
            if held is not None and held.until_s > now_s and held.agent != agent:
                return held
        return None

    def hold(self, mint: str, agent: str, wish: str) -> None:
        """Reserve a token that nobody else holds; who holds it already holds it longer."""
        now_s = self._monotonic_s()
        if len(self._held) >= TOKENS_MAX:
            self._held = {key: each for key, each in self._held.items() if each.until_s > now_s}
        if len(self._held) < TOKENS_MAX or mint in self._held:
            self._held[mint] = Reservation(mint, agent, wish, now_s + self._expiry_s)

    def ordered(self, mint: str, agent: str, order_id: str, trajectory_id: str) -> None:
        """Note what became of a reservation; an order that was sent keeps its token as long again."""
        held = self._held.get(mint)
        if held is not None and held.agent == agent:
            until_s = self._monotonic_s() + self._expiry_s
            self._held[mint] = replace(held, order_id=order_id, trajectory_id=trajectory_id, until_s=until_s)

    @property
    def now_s(self) -> float:
        return self._monotonic_s()
