"""Who is connected right now."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from memmcp_server.errors import Unavailable
from memmcp_server.ports import Clock


@dataclass(frozen=True, slots=True)
class Client:
    number: int
    name: str
    transport: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class CallsOf:
    """What one agent has asked for since the daemon began: how many calls, and the last."""

    agent: str
    transport: str
    calls: int
    last_tool: str
    last_ns: int


class ClientRegistry:
    """The connected clients, at most ``clients_max`` of them, and as many callers, those of the longest silence left
    out; used from the event loop only."""

    def __init__(self, clock: Clock, clients_max: int = 256) -> None:
        self._clock = clock
        self._clients_max = clients_max
        self._connected: dict[int, Client] = {}
        self._calls: OrderedDict[tuple[str, str], CallsOf] = OrderedDict()
        self._numbers = count(1)
        self._idle_since_s = clock.monotonic_s()

    @contextmanager
    def connected(self, name: str, transport: str) -> Iterator[Client]:
        """Count the client for as long as the block runs.

        Raises: Unavailable (too many clients).
        """
        if len(self._connected) >= self._clients_max:
            msg = f"{len(self._connected)} clients are connected; at most {self._clients_max} are served"
            raise Unavailable(msg, hint="close one, then connect again")
        client = Client(next(self._numbers), name, transport, self._clock.now_ns())
        self._connected[client.number] = client
        try:
            yield client
        finally:
            del self._connected[client.number]
            self._idle_since_s = self._clock.monotonic_s()

    @property
    def count(self) -> int:
        return len(self._connected)

    @property
    def clients(self) -> tuple[Client, ...]:
        """The connected ones, in order of arrival."""
        return tuple(self._connected.values())

    @property
    def callers(self) -> tuple[CallsOf, ...]:
        """Who has called a tool, the latest first."""
        return tuple(reversed(self._calls.values()))

    def note_call(self, agent: str, transport: str, tool: str) -> None:
        known = self._calls.pop((agent, transport), None)
        calls = 1 if known is None else known.calls + 1
        self._calls[agent, transport] = CallsOf(agent, transport, calls, tool, self._clock.now_ns())
        while len(self._calls) > self._clients_max:
            self._calls.popitem(last=False)

    def touch(self) -> None:
        """Note a sign of life that is no connection, such as a request of the command line."""
        self._idle_since_s = self._clock.monotonic_s()

    def idle_s(self) -> float:
        """Return the seconds since the last client left or gave a sign of life; 0 while one is connected."""
        return 0.0 if self._connected else max(0.0, self._clock.monotonic_s() - self._idle_since_s)
