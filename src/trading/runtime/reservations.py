"""Who is about to trade a token: of two agents with the same or the opposite wish the second is told of the first.

A preview reserves its token for its agent until it expires; an order on it prolongs that, so that the other can read
how it went. Nobody holds a token for ever: while another waits, further previews prolong nothing and only the first
order does, and after that it is the other's turn for as long as a preview lives. Exits are nobody's to hold up: closing
a position asks nothing here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from trading.model.order import Denied

TOKENS_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Reservation:
    """``order_id`` and ``trajectory_id`` are empty until the agent's order has them. ``next_agent`` was refused first
    and is next; ``is_turn``: this agent holds nothing yet, it is its turn."""

    mint: str
    agent: str
    wish: str
    until_s: float
    order_id: str = ""
    trajectory_id: str = ""
    next_agent: str = ""
    is_turn: bool = False

    def told(self, symbol: str, now_s: float) -> Denied:
        """Return what the second agent is answered."""
        seconds = max(1, round(self.until_s - now_s))
        if self.is_turn:
            message = (
                f"it is the turn of {self.agent}, who waited for {symbol}, for {seconds} s more: come back then; "
                "close_position is never held up"
            )
            return Denied("held_by_another_agent", message)
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
            if held is None:
                continue
            if held.until_s > now_s:
                if held.agent != agent:
                    self._held[mint] = replace(held, next_agent=held.next_agent or agent)
                    return held
            elif held.next_agent not in ("", agent) and now_s < held.until_s + self._expiry_s:
                return Reservation(mint, held.next_agent, held.wish, held.until_s + self._expiry_s, is_turn=True)
        return None

    def hold(self, mint: str, agent: str, wish: str) -> None:
        """Reserve a token that nobody else holds; who holds it already holds it longer, unless another waits."""
        now_s = self._monotonic_s()
        held = self._held.get(mint)
        if held is not None and held.until_s > now_s and held.next_agent:
            self._held[mint] = replace(held, wish=wish)
            return
        if len(self._held) >= TOKENS_MAX:
            self._held = {key: each for key, each in self._held.items() if each.until_s > now_s}
        if len(self._held) < TOKENS_MAX or mint in self._held:
            self._held[mint] = Reservation(mint, agent, wish, now_s + self._expiry_s)

    def ordered(self, mint: str, agent: str, order_id: str, trajectory_id: str) -> None:
        """Note what became of a reservation; an order that was sent keeps its token as long again."""
        held = self._held.get(mint)
        if held is not None and held.agent == agent:
            is_prolonged = not (held.next_agent and held.order_id)
            until_s = self._monotonic_s() + self._expiry_s if is_prolonged else held.until_s
            self._held[mint] = replace(held, order_id=order_id, trajectory_id=trajectory_id, until_s=until_s)

    @property
    def now_s(self) -> float:
        return self._monotonic_s()
