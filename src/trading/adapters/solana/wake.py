"""A WebSocket that wakes whoever waits for a signature. Nothing it says is believed, nothing it loses is missed."""

import logging
import ssl
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeVar

import anyio
import orjson
import websockets
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect

from trading.config import ChainSection
from trading.model.chain import Commitment
from trading.model.network import host_of

MESSAGE_BYTES_MAX: Final = 65_536
LINGER_S: Final = 5.0
"""So long a subscription stays after the last who waited has gone."""
_QUEUE_MAX: Final = 64
_PING_S: Final = 20.0
_CLOSE_S: Final = 1.0
_REMEMBERED: Final = 4_096
_Value = TypeVar("_Value")
_TROUBLE: Final = (OSError, TimeoutError, websockets.WebSocketException, ssl.SSLError)


@dataclass(slots=True)
class _Wanted:
    """A signature that somebody waits for, at the level that has not been told yet."""

    signature: str
    level: Commitment
    woken: anyio.Event = field(default_factory=anyio.Event)
    waiters: int = 0
    left_s: float = 0.0
    """When the last of those who waited left."""


class Wake:
    """``run`` it in the background; ``wait`` works without it too, only longer.

    Of several addresses one is connected at a time; after trouble the next one is tried. A signature wakes at most once
    at ``confirmed`` and once at ``finalized``: an endpoint that cries wolf cannot keep anybody busy.
    """

    def __init__(self, urls: Sequence[SecretStr], section: ChainSection) -> None:
        self._urls = urls
        self._section = section
        self._wanted: dict[tuple[str, Commitment], _Wanted] = {}
        self._told: OrderedDict[str, Commitment] = OrderedDict()
        self._missed: OrderedDict[str, bool] = OrderedDict()
        self._changed = anyio.Event()
        self._counts: Counter[str] = Counter()
        self._connected = ""
        # The library writes requests with their whole address to its log.
        self._silent = logging.Logger("trading.wake", logging.CRITICAL + 1)

    async def wait(self, signature: str, timeout_s: float) -> None:
        """Return when the signature was told of, or the connection was lost, at the latest after ``timeout_s``."""
        level = {None: Commitment.CONFIRMED, Commitment.CONFIRMED: Commitment.FINALIZED}.get(self._told.get(signature))
        key = (signature, level or Commitment.FINALIZED)
        if self._missed.pop(signature, False):
            return  # told while nobody waited
        is_listened = level is not None and (key in self._wanted or self._has_room())
        with anyio.move_on_after(timeout_s):
            if not self._urls or not is_listened:
                await anyio.sleep_forever()
            wanted = self._wanted.setdefault(key, _Wanted(*key))
            wanted.waiters += 1
            self._change()
            try:
                await wanted.woken.wait()
            finally:
                wanted.waiters -= 1
                wanted.left_s = anyio.current_time()

    def report(self) -> Mapping[str, Any]:
        """Return the host that is connected ("" for none), how many are waited for, and counts of what happened."""
        waiting = sum(each.waiters > 0 for each in self._wanted.values())
        return {"connected": self._connected, "waiting": waiting, **dict(sorted(self._counts.items()))}

    async def run(self) -> None:
        """Keep one connection until cancelled, with a growing pause after each that fails."""
        failures = 0
        number = 0
        while self._urls:
            self._drop_idle()
            while not self._wanted:  # nobody waits: no connection is opened for that
                await self._changed.wait()
            url = self._urls[number % len(self._urls)].get_secret_value()
            started_s = anyio.current_time()
            try:
                async with connect(
                    url,
                    max_size=MESSAGE_BYTES_MAX,
                    max_queue=_QUEUE_MAX,
                    open_timeout=self._section.timeout_s,
                    ping_interval=_PING_S,
                    ping_timeout=_PING_S,
                    close_timeout=_CLOSE_S,
                    logger=self._silent,
                    proxy=None,
                ) as connection:
                    self._connected = host_of(url)
                    self._counts["connections"] += 1
                    await self._listen(connection)
            except _TROUBLE as error:
                self._counts[f"lost_{type(error).__name__}"] += 1
            except ExceptionGroup as group:
                if group.split(_TROUBLE)[1] is not None:
                    raise
                self._counts["lost"] += 1
            finally:
                self._connected = ""
            number += 1
            section = self._section
            if anyio.current_time() - started_s > section.backoff_cap_s:
                failures = 0
            await anyio.sleep(min(section.backoff_base_s * 2 ** min(failures, 30), section.backoff_cap_s))
            failures += 1

    async def _listen(self, connection: ClientConnection) -> None:
        """Subscribe to what is waited for and hear notifications until the connection ends."""
        session = _Session()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_subscribed, connection, session)
                async for message in connection:
                    self._hear(message, session)
                tasks.cancel_scope.cancel()
        finally:
            # Notifications may have been lost with it: whoever waits looks for himself.
            lost = list(self._wanted.values())
            self._wanted.clear()
            for wanted in lost:
                wanted.woken.set()

    async def _keep_subscribed(self, connection: ClientConnection, session: "_Session") -> None:
        while True:
            self._drop_idle()
            changed = self._changed  # taken first: what changes while something is sent is seen afterwards
            for key, wanted in list(self._wanted.items()):
                if key not in session.asked:
                    session.asked[key] = next(session.numbers)
                    session.keys[session.asked[key]] = key
                    params = [wanted.signature, {"commitment": wanted.level}]
                    await connection.send(_request(session.asked[key], "signatureSubscribe", params))
            for key in [key for key in session.asked if key not in self._wanted]:
                number = session.asked.pop(key)
                session.keys.pop(number, None)
                for subscription in [each for each, asked in session.subscriptions.items() if asked == number]:
                    del session.subscriptions[subscription]
                    await connection.send(_request(next(session.numbers), "signatureUnsubscribe", [subscription]))
            with anyio.move_on_after(LINGER_S):
                await changed.wait()

    def _hear(self, message: str | bytes, session: "_Session") -> None:
        try:
            given = orjson.loads(message)
            if "method" in given:
                number = session.subscriptions.pop(given["params"]["subscription"])
                key = session.keys[number]
            else:
                if "error" in given:
                    self._counts["refused"] += 1
                    return
                if given["id"] in session.keys:
                    session.subscriptions[int(given["result"])] = given["id"]
                return
        except (ValueError, KeyError, TypeError, AttributeError):
            self._counts["unreadable"] += 1
            return
        self._counts["notified"] += 1
        _remember(self._told, key[0], key[1])
        wanted = self._wanted.pop(key, None)
        if wanted is not None and wanted.waiters:
            wanted.woken.set()
        else:
            _remember(self._missed, key[0], True)

    def _has_room(self) -> bool:
        """Return whether one more may be listened to; who is not waited for any more makes room."""
        most = self._section.subscriptions_max
        if len(self._wanted) >= most:
            self._drop_idle(at_once=True)
        return len(self._wanted) < most

    def _drop_idle(self, *, at_once: bool = False) -> None:
        """Whoever looks in between and waits again soon goes on with the same subscription."""
        until_s = anyio.current_time() - (0 if at_once else LINGER_S)
        for key, wanted in list(self._wanted.items()):
            if not wanted.waiters and wanted.left_s <= until_s:
                del self._wanted[key]

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class _Session:
    """What was subscribed to on one connection: number asked under by key, key by number, number by subscription."""

    def __init__(self) -> None:
        self.numbers = count(1)
        self.asked: dict[tuple[str, Commitment], int] = {}
        self.keys: dict[int, tuple[str, Commitment]] = {}
        self.subscriptions: dict[int, int] = {}


def _remember(memory: "OrderedDict[str, _Value]", signature: str, value: _Value) -> None:
    memory[signature] = value
    memory.move_to_end(signature)
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)


def _request(number: int, method: str, params: Sequence[Any]) -> str:
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).decode()
