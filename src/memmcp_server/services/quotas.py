"""How often one agent may call in a minute: a bucket of tokens for each agent and kind of call."""

from collections import OrderedDict
from typing import Final, Literal

from memmcp_server.config import QuotasSection
from memmcp_server.domain.caller import Caller
from memmcp_server.errors import TooManyCalls
from memmcp_server.ports import Clock

from .meters import Meters

Kind = Literal["reads", "writes", "orders"]
AGENTS_MAX: Final = 4_096
MINUTE_S: Final = 60.0


class Quotas:
    """A bucket holds a minute's calls and fills steadily, so that a burst is as good as a stream. Bounded: whoever was
    not heard of for longest is forgotten, which gives him a full bucket and nobody else less."""

    def __init__(self, section: QuotasSection, clock: Clock, meters: Meters | None = None) -> None:
        self._meters = meters
        self._most: dict[Kind, int] = {
            "reads": section.reads_per_minute_max,
            "writes": section.writes_per_minute_max,
            "orders": section.orders_per_minute_max,
        }
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, Kind], tuple[float, float]] = OrderedDict()

    def take(self, caller: Caller, kind: Kind) -> None:
        """Count a call. The operator and the runtime are not counted. Raises: TooManyCalls saying when it goes on."""
        most = self._most[kind]
        if most == 0 or caller.role == "operator":
            return
        now_s, key = self._clock.monotonic_s(), (caller.agent, kind)
        left, at_s = self._buckets.get(key, (float(most), now_s))
        left = min(float(most), left + (now_s - at_s) * most / MINUTE_S)
        if left < 1:
            wait_s = (1 - left) * MINUTE_S / most
            msg = f"{caller.agent or 'this caller'} has made {most} {kind} in a minute, which is all that is allowed"
            hint = f"wait {max(1, round(wait_s))} s; the operator sets quotas.{kind}_per_minute_max"
            if self._meters is not None:
                self._meters.quota_refusals.add(kind)
            raise TooManyCalls(msg, retry_after_s=wait_s, hint=hint)
        self._buckets[key] = (left - 1, now_s)
        self._buckets.move_to_end(key)
        while len(self._buckets) > AGENTS_MAX:
            self._buckets.popitem(last=False)
