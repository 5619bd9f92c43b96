"""What goes wrong on the local Jupiter server when somebody asks for it."""

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any, Final

import anyio
from starlette.responses import JSONResponse, Response

from .jupiter_parts import MALICE

PATHS: Final = frozenset({"build", "order", "execute", "price", "search"})
ANSWERS: Final = frozenset({"429", "500", "502", "html", "slow", "hang", "cut"})
"""429: too many requests; 500: as JSON; 502: a proxy's page; html: a page with status 200; slow: the true answer,
``seconds`` late; hang: none in ``seconds``, then 504; cut: half of the true answer."""
QUOTES: Final = frozenset({"stale"})
"""stale: quoted from what the pool stood at before; what was read last before the fault."""
EXECUTIONS: Final = frozenset({"lost_answer", "never_sent"})
"""lost_answer: the transaction is sent, and the answer is 500; never_sent: told as failed to land (-1000), not sent."""
KINDS: Final = ANSWERS | QUOTES | EXECUTIONS | frozenset(MALICE)
COUNT_MAX: Final = 1_000_000
SECONDS_MAX: Final = 600.0


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    seconds: float = 1.0
    retry_after_s: int | None = None


class Faults:
    """Queues of faults by path; each is used up by one call, the oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[list[Any]]] = defaultdict(deque)

    def put(self, path: str, fault: Fault, count: int = 1) -> None:
        """Raises: ValueError for a path, a kind or a number that there is none of."""
        if path not in PATHS or fault.kind not in KINDS:
            msg = f"no fault {fault.kind!r} of {path!r}: kinds are {', '.join(sorted(KINDS))}"
            raise ValueError(msg)
        if not 1 <= count <= COUNT_MAX or not 0 <= fault.seconds <= SECONDS_MAX:
            msg = f"a count lies in [1, {COUNT_MAX}], seconds in [0, {SECONDS_MAX:g}]"
            raise ValueError(msg)
        self._waiting[path].append([fault, count])

    def take(self, path: str) -> Fault | None:
        waiting = self._waiting[path]
        if not waiting:
            return None
        waiting[0][1] -= 1
        fault: Fault = waiting[0][0]
        if waiting[0][1] == 0:
            waiting.popleft()
        return fault

    def clear(self) -> None:
        self._waiting.clear()

    def left(self) -> dict[str, list[dict[str, Any]]]:
        return {
            path: [{"kind": fault.kind, "count": count} for fault, count in waiting]
            for path, waiting in self._waiting.items()
            if waiting
        }


async def instead(fault: Fault) -> Response | None:
    """Return the answer given instead of the true one; None where that one is given, in its time."""
    if fault.kind == "429":
        headers = {} if fault.retry_after_s is None else {"retry-after": str(fault.retry_after_s)}
        return JSONResponse({"error": "[API Gateway] Too many requests"}, 429, headers)
    if fault.kind == "500":
        return JSONResponse({"error": "Internal server error"}, 500)
    if fault.kind in ("502", "html"):
        page = "<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>"
        return Response(page, 502 if fault.kind == "502" else 200, media_type="text/html")
    if fault.kind in ("slow", "hang"):
        await anyio.sleep(fault.seconds)
    return Response(b"", 504) if fault.kind == "hang" else None
