"""How often one endpoint may be asked: a token bucket in which reads stand back for sendings."""

from typing import Final

import anyio

_BURST_S: Final = 1.0


class CallBudget:
    """At most ``per_s`` calls a second on the long run, a second's worth of them at once."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._burst = max(1.0, per_s * _BURST_S)
        self._tokens = self._burst
        self._at_s: float | None = None
        self._waiting = 0
        self._sends_waiting = 0

    @property
    def left(self) -> float:
        """How many calls could be made at once now."""
        self._fill()
        return self._tokens

    async def take(self, *, is_send: bool, wait_s_max: float) -> bool:
        """Take one call, waiting for it at most this long; False when there was none in time.

        While a sending waits, no read is let by.
        """
        if (self._sends_waiting if is_send else self._waiting) > wait_s_max * self._per_s:
            return False
        until_s = anyio.current_time() + wait_s_max
        self._waiting += 1
        self._sends_waiting += is_send
        try:
            while True:
                self._fill()
                is_free = self._tokens >= 1 and (is_send or not self._sends_waiting)
                if is_free:
                    self._tokens -= 1
                    return True
                missing = max(1 - self._tokens, 0) + (0 if is_send else self._sends_waiting)
                wait_s = max(missing / self._per_s, 0.001)
                if anyio.current_time() + wait_s > until_s:
                    return False
                await anyio.sleep(wait_s)
        finally:
            self._waiting -= 1
            self._sends_waiting -= is_send

    def _fill(self) -> None:
        now_s = anyio.current_time()
        if self._at_s is not None:
            # A hair above: the sum of many small parts may stay below one for ever.
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s + 1e-9)
        self._at_s = now_s
