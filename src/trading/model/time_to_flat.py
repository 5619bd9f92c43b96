"""How long exits take: from the first decision to leave a position to the fill that did."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Final

from .units import NS_PER_S

PERCENTILE: Final = 95


@dataclass(slots=True)
class TimeToFlat:
    """Exits as they are decided and filled, in order of time. One that came to nothing is not over: the next order to
    leave the same position goes on with it, so that what failed first counts too."""

    spans_ns: list[int] = field(default_factory=list)
    _since: dict[Hashable, int] = field(default_factory=dict)

    def decided(self, position: Hashable, ts_ns: int) -> None:
        self._since.setdefault(position, ts_ns)

    def filled(self, position: Hashable, ts_ns: int) -> None:
        """Note a fill; one that no decision to leave came before is none of an exit."""
        since = self._since.pop(position, None)
        if since is not None:
            self.spans_ns.append(ts_ns - since)

    def given_up(self, position: Hashable) -> None:
        """Forget a position that cannot be left any more: it was written off."""
        self._since.pop(position, None)

    def document(self, clock: str) -> dict[str, Any]:
        """Return ``exits``, how many are ``waiting``, and seconds: ``median_s``, ``p95_s`` (nearest rank) and
        ``longest_s``, None without exits. ``clock``: whose time it is, "wall" or "market"."""
        spans = sorted(self.spans_ns)
        return {
            "clock": clock,
            "exits": len(spans),
            "waiting": len(self._since),
            "median_s": _rank_s(spans, 50),
            "p95_s": _rank_s(spans, PERCENTILE),
            "longest_s": _rank_s(spans, 100),
        }


def _rank_s(spans: list[int], percentile: int) -> float | None:
    if not spans:
        return None
    return round(spans[-(-len(spans) * percentile // 100) - 1] / NS_PER_S, 3)
