"""One client's conversation, carried over as many connections to daemons as it takes. Standard library only."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable

from memmcp_server import __version__

from . import rpc
from .finding import LINE_BYTES_MAX, CannotReach, Finder, Line
from .handshakes import Handshakes
from .places import Places
from .unanswered import lost_line, unanswered_line

PENDING_MAX = 1_024
REPLAYS_MAX = 256
REPEATS_MAX = 2
REPLAY_TIMEOUT_S = 30.0
FAILURE_PAUSE_S = 1.0
"""A daemon that cannot start is not started again for every message of a client that keeps asking."""

HUNG_AFTER_S = 15.0
"""A daemon that owes an answer and has said nothing for so long is asked for a sign of life."""

WATCH_S = 2.5
PROBE_S = 5.0
GIVEN_UP_MAX = 4_096

YOUNG_S = 5.0
YOUNG_DEATHS_MAX = 3
"""After so many connections in a row that lived less than YOUNG_S the bridge waits for its client's next message."""

LONG_LIVED = frozenset({"subscriptions/listen"})
REMEMBERED = {
    "resources/subscribe": "resources/subscribe",
    "resources/unsubscribe": "resources/subscribe",
    "logging/setLevel": "logging/setLevel",
}


class Pending:
    """A request without its answer."""

    __slots__ = ("asked_s", "line", "message", "repeats")

    def __init__(self, message: rpc.Message, line: bytes) -> None:
        self.message = message
        self.line = line
        self.repeats = 0
        self.asked_s = time.monotonic()


class Connection:
    """One greeted connection; ``close`` is safe against a thread that is sending."""

    __slots__ = ("asked", "born_s", "initialized", "is_of_this_version", "line", "requests", "send_lock")

    def __init__(self, line: Line, version: object) -> None:
        self.line = line
        self.is_of_this_version = version == __version__
        self.born_s = time.monotonic()
        self.requests = 0
        self.initialized: bytes | None = None
        self.asked: set[rpc.RequestId] = set()
        self.send_lock = threading.Lock()

    def send(self, data: bytes) -> bool:
        with self.send_lock:
            try:
                self.line.sock.sendall(data)
            except OSError:
                return False
            return True

    def hang_up(self) -> None:
        """Make both sides see the end, without freeing the descriptor under another thread."""
        with contextlib.suppress(OSError):
            self.line.sock.shutdown(2)

    def close(self) -> None:
        self.hang_up()
        with self.send_lock:
            self.line.sock.close()


class Session:
    """State shared by two threads; everything below ``_changed`` is guarded by it.

    The main thread hands in the client's lines and registers requests. The pump thread owns the connection: it
    connects, copies replies to the client, and after a daemon's death connects again, replays the handshake and
    repeats what may be repeated.
    """

    def __init__(self, places: Places, bridge: str, finder: Finder, write: Callable[[bytes], None]) -> None:
        self._places = places
        self._bridge = bridge
        self._finder = finder
        self._write = write
        self._handshakes = Handshakes(places.handshakes)
        self._changed = threading.Condition()
        self._connection: Connection | None = None
        self._greeted: Connection | None = None  # being replayed to: the daemon may ask before it is the connection
        self._is_wanted = False
        self._is_ending = False
        self._failure: str | None = None
        self._failed_at_s = 0.0
        self._young_deaths = 0
        self._pending: dict[rpc.RequestId, Pending] = {}
        self._initialize: rpc.Message | None = None
        self._initialized: bytes | None = None
        self._replays: dict[tuple[str, str], rpc.Message] = {}
        self._warned: str | None = None
        self._stamped = 0
        self._heard_s = 0.0
        self._given_up: dict[rpc.RequestId, None] = {}

    # The client's side, on the main thread.

    def take(self, line: bytes) -> None:
        """Carry one line of the client, or answer it when it cannot be carried."""
        if not line.strip():
            return
        try:
            message = rpc.parse(line)
        except ValueError as error:
            whose = error.request_id if isinstance(error, rpc.Uncarried) else None
            self._refuse(rpc.PARSE_ERROR, f"not a JSON-RPC message: {error}", whose)
            return
        if not isinstance(message, dict):
            self._refuse(rpc.INVALID_REQUEST, "expected one JSON object per line (batches are not part of MCP)")
        elif not isinstance(message.get("method"), str):
            self._take_response(message, line)
        elif "id" in message:
            self._take_request(message, line)
        else:
            self._take_notification(message, line)

    def refuse_long_line(self) -> None:
        self._refuse(rpc.INVALID_REQUEST, f"a message longer than {LINE_BYTES_MAX} bytes; nothing was done with it")

    def _refuse(self, code: int, text: str, request_id: rpc.RequestId | None = None) -> None:
        self._write(rpc.error_line(request_id, code, text, kind="invalid_input"))

    def _take_request(self, message: rpc.Message, line: bytes) -> None:
        request_id = rpc.request_id_of(message)
        if request_id is None:
            self._refuse(rpc.INVALID_REQUEST, "the id of a request must be a string or an integer")
            return
        try:
            if message["method"] == "tools/call":
                self._stamped += 1
                rpc.stamp(message, self._bridge, self._stamped)
                line = rpc.encode(message)
        except ValueError as error:
            self._refuse(rpc.PARSE_ERROR, f"not JSON: {error}", request_id)
            return
        with self._changed:
            if message["method"] == "initialize":
                self._begin_session(message)
            else:
                self._remember(message)
            connection = self._registered(request_id, Pending(message, _lined(line)))
        if connection is not None:
            connection.send(_lined(line))  # A failure shows as the end of the connection: the pump recovers.

    def _take_notification(self, message: rpc.Message, line: bytes) -> None:
        with self._changed:
            if message["method"] == "notifications/initialized":
                self._initialized = _lined(line)
            elif message["method"] == "notifications/cancelled":
                cancelled = rpc.params_of(message).get("requestId")
                if isinstance(cancelled, str | int):
                    self._pending.pop(cancelled, None)
            connection = self._connection
        # Without a connection there is nothing it could be about; the handshake's own is replayed by the pump.
        if connection is not None:
            connection.send(_lined(line))

    def _take_response(self, message: rpc.Message, line: bytes) -> None:
        request_id = rpc.request_id_of(message)
        with self._changed:
            connection = self._connection or self._greeted
            is_asked = connection is not None and request_id in connection.asked
            if connection is not None and request_id is not None:
                connection.asked.discard(request_id)
        # An answer to a daemon that is gone would only confuse the next one.
        if connection is not None and is_asked:
            connection.send(_lined(line))

    def _begin_session(self, message: rpc.Message) -> None:
        """Forget the last session. A handshake after other requests needs a connection of its own.

        Some clients probe with ``server/discover`` and then fall back to ``initialize`` on the same pipe; the first
        request decides a connection's protocol era, so the daemon would refuse.
        """
        self._initialize, self._initialized = message, None
        self._replays.clear()
        if self._connection is not None and self._connection.requests:
            connection, self._connection = self._connection, None
            connection.hang_up()

    def _remember(self, message: rpc.Message) -> None:
        kind = REMEMBERED.get(str(message["method"]))
        if kind is None:
            return
        uri = str(rpc.params_of(message).get("uri", ""))
        if message["method"] == "resources/unsubscribe":
            self._replays.pop((kind, uri), None)
        elif len(self._replays) < REPLAYS_MAX:
            self._replays[kind, uri] = message

    def _registered(self, request_id: rpc.RequestId, pending: Pending) -> Connection | None:
        """Register the request and return the connection to send it on; None when it was answered or is the pump's."""
        if len(self._pending) >= PENDING_MAX:
            text = f"{PENDING_MAX} requests are waiting for answers already; try again after some of them"
            self._write(rpc.error_line(request_id, rpc.SERVER_ERROR, text, kind="unavailable"))
            return None
        self._pending[request_id] = pending
        if self._connection is None:
            # The pump sends what is pending when it has connected.
            self._want_connection()
            return None
        self._connection.requests += 1
        return self._connection

    def _want_connection(self) -> None:
        if self._failure is not None and time.monotonic() - self._failed_at_s < FAILURE_PAUSE_S:
            self._fail_pending(self._failure)
            return
        self._is_wanted = True
        self._changed.notify_all()

    def drain(self, timeout_s: float) -> None:
        """Wait until every request is answered, at most so long: for ``printf ... | memmcp stdio``."""

        def is_answered() -> bool:
            return all(pending.message["method"] in LONG_LIVED for pending in self._pending.values())

        with self._changed:
            self._changed.wait_for(is_answered, timeout_s)

    # The daemon's side, on the pump thread.

    def end(self) -> None:
        """Let the pump return: its connection is closed, no other one is made."""
        with self._changed:
            self._is_ending = True
            if self._connection is not None:
                self._connection.hang_up()
            self._changed.notify_all()

    def pump(self) -> None:
        """Carry until ``end``."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_wanted or self._is_ending)
                if self._is_ending:
                    return
            connection = self._connect()
            if connection is not None:
                self._copy(connection)
                self._after(connection)

    def watch(self) -> None:
        """Answer for a daemon that hangs, until ``end``: nobody waits for ever, and what it owes is not repeated.

        Its connection is kept: should it wake, the next requests go on there, and what it says too late is dropped.
        """
        while True:
            with self._changed:
                # Requests do not wake it, which would cost each of them: it looks now and then.
                if self._changed.wait_for(lambda: self._is_ending, WATCH_S):
                    return
                if not self._owed():
                    continue
                oldest_s = min((pending.asked_s for pending in self._owed().values()), default=time.monotonic())
                silent_s = time.monotonic() - max(oldest_s, self._heard_s)
                if silent_s < HUNG_AFTER_S:
                    continue
            if self._finder.is_answering(PROBE_S):
                with self._changed:
                    self._heard_s = time.monotonic()  # slow, not hung
                continue
            self._give_up(oldest_s)

    def _owed(self) -> dict[rpc.RequestId, Pending]:
        """Return what the connected daemon has yet to answer; while none is connected, the finder minds the time."""
        if self._connection is None:
            return {}
        return {key: each for key, each in self._pending.items() if each.message["method"] not in LONG_LIVED}

    def _give_up(self, asked_until_s: float) -> None:
        with self._changed:
            for request_id, pending in self._owed().items():
                if pending.asked_s > asked_until_s + HUNG_AFTER_S:
                    continue  # it has its own time
                del self._pending[request_id]
                self._given_up[request_id] = None
                if len(self._given_up) > GIVEN_UP_MAX:
                    del self._given_up[next(iter(self._given_up))]
                self._write(unanswered_line(request_id, pending.message, HUNG_AFTER_S))
            self._changed.notify_all()

    def _connect(self) -> Connection | None:
        try:
            line, answer = self._finder.connect(self._answer_early)
        except CannotReach as error:
            with self._changed:
                self._is_wanted = False
                self._failure, self._failed_at_s = str(error), time.monotonic()
                self._fail_pending(self._failure)
            return None
        self._warn_of_versions(answer)
        connection = Connection(line, answer.get("version"))
        with self._changed:
            self._greeted = connection
        if not self._replay(connection):
            with self._changed:
                self._greeted = None
            connection.close()
            self._note_young_death()
            return None
        with self._changed:
            self._greeted = None
            if self._is_ending:
                connection.close()
                return None
            self._connection, self._is_wanted, self._failure = connection, False, None
            waiting = sorted(self._pending.values(), key=lambda pending: pending.message["method"] != "initialize")
            connection.requests = len(waiting)
            # The client may have finished its handshake while ours was being repeated.
            late = self._initialized if self._initialized is not connection.initialized else None
        for data in [late, *(pending.line for pending in waiting)]:
            if data is not None:
                connection.send(data)
        return connection

    def _answer_early(self) -> None:
        """No daemon runs yet: answer the handshake as the last one did. It is repeated to the new one as ever."""
        with self._changed:
            initialize = self._initialize
            is_asked = any(pending.message is initialize for pending in self._pending.values())
        if initialize is None or not is_asked:
            return
        result, request_id = self._handshakes.find(initialize), rpc.request_id_of(initialize)
        if result is None or request_id is None:
            return
        with self._changed:
            if self._initialize is not initialize or self._pending.pop(request_id, None) is None:
                return
            self._changed.notify_all()
        self._write(rpc.encode({"jsonrpc": "2.0", "id": request_id, "result": result}))

    def _note_young_death(self) -> None:
        """The daemon died during the replay: try again, but not for ever."""
        with self._changed:
            self._young_deaths += 1
            if self._young_deaths >= YOUNG_DEATHS_MAX:
                self._is_wanted = False
                self._fail_pending("the daemon keeps ending: see `memmcp logs`, or run `memmcp doctor`")

    def _warn_of_versions(self, answer: rpc.Message) -> None:
        theirs = str(answer.get("version"))
        if theirs not in (__version__, self._warned):
            self._warned = theirs
            text = f"memmcp: the daemon runs version {theirs}, this is {__version__}: `memmcp stop` lets it start anew"
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def _replay(self, connection: Connection) -> bool:
        """Repeat the session's handshake on a new connection; True when there is nothing left to do."""
        with self._changed:
            initialize, initialized = self._initialize, self._initialized
            steps = list(self._replays.values())
            if any(pending.message is initialize for pending in self._pending.values()):
                return True  # not answered yet: it is repeated with the other pending requests
        if initialize is None:
            return True
        connection.line.sock.settimeout(REPLAY_TIMEOUT_S)
        if not self._ask(connection, initialize, "memmcp-replay-0"):
            return False
        if initialized is not None and not connection.send(initialized):
            return False
        connection.initialized = initialized
        for number, step in enumerate(steps, 1):
            if not self._ask(connection, step, f"memmcp-replay-{number}"):
                return False
        connection.line.sock.settimeout(None)
        return True

    def _ask(self, connection: Connection, message: rpc.Message, request_id: str) -> bool:
        """Send the message under an id of our own and wait for its answer, which the client does not see."""
        if not connection.send(rpc.encode({**message, "id": request_id})):
            return False
        while True:
            line = _read(connection)
            if line is None:
                return False
            with contextlib.suppress(ValueError):
                reply = rpc.parse(line)
                if isinstance(reply, dict) and reply.get("id") == request_id and "method" not in reply:
                    self._keep_handshake(connection, message, reply)
                    return True
                if isinstance(reply, dict):
                    self._settle(connection, reply)
            self._write(line)

    def _copy(self, connection: Connection) -> None:
        while (line := _read(connection)) is not None:
            try:
                message = rpc.parse(line)
            except ValueError:
                continue
            self._heard_s = time.monotonic()
            if isinstance(message, dict):
                if self._is_too_late(message):
                    continue
                self._settle(connection, message)
            self._write(line)

    def _is_too_late(self, message: rpc.Message) -> bool:
        """Say whether the client has been told long ago that this answer does not come."""
        request_id = rpc.request_id_of(message)
        if request_id is None or "method" in message:
            return False
        with self._changed:
            if request_id in self._given_up and request_id not in self._pending:
                del self._given_up[request_id]
                return True
        return False

    def _settle(self, connection: Connection, message: rpc.Message) -> None:
        request_id = rpc.request_id_of(message)
        if request_id is None:
            return
        answered: Pending | None = None
        with self._changed:
            if "method" in message:
                if len(connection.asked) < PENDING_MAX:
                    connection.asked.add(request_id)
            elif (answered := self._pending.pop(request_id, None)) is not None:
                self._changed.notify_all()
        if answered is not None:
            self._keep_handshake(connection, answered.message, message)

    def _keep_handshake(self, connection: Connection, request: rpc.Message, reply: rpc.Message) -> None:
        if request["method"] == "initialize" and connection.is_of_this_version:
            self._handshakes.keep(request, reply)

    def _after(self, connection: Connection) -> None:
        """The connection ended: answer what must not be repeated, and decide whether to connect again now."""
        lived_s = time.monotonic() - connection.born_s
        with self._changed:
            is_mine = self._connection is connection
            if is_mine:
                self._connection = None
                self._young_deaths = self._young_deaths + 1 if lived_s < YOUNG_S else 0
            lost = [request_id for request_id, pending in self._pending.items() if not self._may_repeat(pending)]
            for request_id in lost:
                lost_one = self._pending.pop(request_id)
                self._write(lost_line(request_id, lost_one.message, lost_one.repeats))
            if self._places.stopped.exists() and not self._is_wanted:
                self._fail_pending("the daemon was stopped; the next message starts it again")
            elif is_mine:
                self._is_wanted = bool(self._pending) or self._young_deaths < YOUNG_DEATHS_MAX
            self._changed.notify_all()
        connection.close()

    def _may_repeat(self, pending: Pending) -> bool:
        if pending.message["method"] not in LONG_LIVED:
            pending.repeats += 1
        return rpc.is_repeatable(pending.message) and pending.repeats <= REPEATS_MAX

    def _fail_pending(self, reason: str) -> None:
        for request_id, pending in self._pending.items():
            if pending.message is self._initialize:
                self._initialize = None
            text = f"memMCP cannot be reached: {reason}"
            self._write(rpc.error_line(request_id, rpc.SERVER_ERROR, text, kind="unavailable"))
        self._pending.clear()
        self._changed.notify_all()


def _lined(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _read(connection: Connection) -> bytes | None:
    try:
        return connection.line.read()
    except (OSError, ValueError):
        return None
