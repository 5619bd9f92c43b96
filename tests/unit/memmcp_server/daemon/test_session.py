"""The bridge's conversation, over daemons that end, refuse, lie and come back."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.agents import data_directory, until
from tests.unit.memmcp_server.daemon.fake_daemon import FakeDaemon, echo

from memmcp_server.daemon import session as session_module
from memmcp_server.daemon.finding import Finder
from memmcp_server.daemon.places import Places
from memmcp_server.daemon.rpc import STAMP
from memmcp_server.daemon.session import Session

BRIDGE = "b" * 32
NO_DAEMON = (sys.executable, "-c", "import sys; sys.stderr.write('no luck today'); sys.exit(1)")
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class Client:
    """The client's end: what it was told, and the session that it speaks to."""

    def __init__(self, data_dir: Path) -> None:
        self.told: list[dict[str, Any]] = []
        self.places = Places(data_dir)
        finder = Finder(self.places, {}, BRIDGE, NO_DAEMON)
        self.session = Session(self.places, BRIDGE, finder, lambda data: self.told.append(json.loads(data)))
        self.pump = threading.Thread(target=self.session.pump, daemon=True)
        self.pump.start()

    def close(self) -> None:
        self.session.end()
        self.pump.join(10)
        assert not self.pump.is_alive()

    def say(self, message: dict[str, Any] | bytes) -> None:
        self.session.take(message if isinstance(message, bytes) else json.dumps(message).encode())

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self.say(message)
        return self.answer(message["id"])

    def answer(self, request_id: int | str) -> dict[str, Any]:
        until(lambda: any(m.get("id") == request_id and "method" not in m for m in self.told))
        return next(m for m in self.told if m.get("id") == request_id and "method" not in m)

    def shake_hands(self) -> None:
        self.ask(INITIALIZE)
        self.say(INITIALIZED)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with data_directory() as directory:
        yield directory


@pytest.fixture
def daemon(data_dir: Path) -> Iterator[Callable[..., FakeDaemon]]:
    started: list[FakeDaemon] = []

    def start(*arguments: Any, **options: Any) -> FakeDaemon:
        started.append(FakeDaemon(data_dir, *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def client(data_dir: Path) -> Iterator[Client]:
    one = Client(data_dir)
    yield one
    one.close()


def call(request_id: int | str, tool: str, **arguments: Any) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}


def silent_on(*methods: str) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    return lambda message: None if message.get("method") in methods else echo(message)


def test_a_tool_call_carries_the_bridges_stamp_over_anything_the_client_claims(
    daemon: Callable[..., FakeDaemon], client: Client
) -> None:
    fake = daemon()
    message = call(7, "memory_write", content="x")
    message["params"]["_meta"] = {STAMP: "forged", "progressToken": "p"}
    client.ask(message)
    client.ask(call("odd id with spaces", "memory_write"))
    metas = [heard["params"]["_meta"] for heard in fake.heard[0]]
    assert metas == [{STAMP: f"{BRIDGE}:7", "progressToken": "p"}, {STAMP: f"{BRIDGE}:#2"}]


def test_the_handshake_and_subscriptions_are_replayed_and_the_client_sees_none_of_it(
    daemon: Callable[..., FakeDaemon], client: Client
) -> None:
    fake = daemon()
    client.shake_hands()
    for number, uri in enumerate(("a://1", "a://2"), 2):
        params = {"uri": uri}
        client.ask({"jsonrpc": "2.0", "id": number, "method": "resources/subscribe", "params": params})
    client.ask({"jsonrpc": "2.0", "id": 4, "method": "resources/unsubscribe", "params": {"uri": "a://1"}})
    told = len(client.told)
    fake.hang_up()
    until(lambda: len(fake.heard) == 2 and len(fake.heard[1]) == 3)
    methods = [(m["method"], m.get("params", {}).get("uri")) for m in fake.heard[1]]
    assert methods == [("initialize", None), ("notifications/initialized", None), ("resources/subscribe", "a://2")]
    assert client.ask(call(5, "why"))["result"]["name"] == "why"
    assert len(client.told) == told + 1


def test_reads_and_memory_writes_are_repeated_and_orders_are_not(
    daemon: Callable[..., FakeDaemon], client: Client
) -> None:
    fake = daemon(silent_on("tools/call"))
    for message in (
        call(1, "memory_search", query="q"),
        call(2, "memory_write", content="c"),
        call(3, "place_trade", side="buy"),
        call(4, "trading_control", action="resume", idempotency_key="mine"),
    ):
        client.say(message)
    until(lambda: fake.heard and len(fake.heard[0]) == 4)
    first = list(fake.heard[0])
    fake._script = echo
    fake.hang_up()
    assert client.answer(1)["result"]["name"] == "memory_search"
    assert client.answer(2)["result"]["name"] == "memory_write"
    assert fake.heard[1] == first[:2], "the repeat must be the same line, stamp included"
    order, control = client.answer(3)["error"], client.answer(4)["error"]
    assert (order["data"]["code"], order["data"]["idempotency_key"]) == ("outcome_unknown", f"{BRIDGE}:3")
    assert control["data"]["idempotency_key"] == "mine"


def test_a_request_that_kills_every_daemon_is_given_up_after_a_few(
    daemon: Callable[..., FakeDaemon], client: Client
) -> None:
    fake: FakeDaemon

    def deadly(message: dict[str, Any]) -> dict[str, Any] | None:
        if message.get("method") == "tools/call":
            threading.Thread(target=fake.hang_up, daemon=True).start()
            return None
        return echo(message)

    fake = daemon(deadly)
    error = client.ask(call(1, "memory_search", query="poison"))["error"]
    assert "ended 3 times" in error["message"]
    assert sum(len(heard) for heard in fake.heard) == 3
    assert client.ask({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})["result"]["method"] == "tools/list"


def test_a_late_handshake_gets_a_fresh_connection(daemon: Callable[..., FakeDaemon], client: Client) -> None:
    fake = daemon()
    client.ask({"jsonrpc": "2.0", "id": 0, "method": "server/discover"})
    client.shake_hands()
    client.ask({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
    assert [[m["method"] for m in heard] for heard in fake.heard] == [
        ["server/discover"],
        ["initialize", "notifications/initialized", "tools/list"],
    ]


def test_answers_to_a_dead_daemons_questions_are_dropped(daemon: Callable[..., FakeDaemon], client: Client) -> None:
    fake = daemon()
    client.shake_hands()
    fake.say({"jsonrpc": "2.0", "id": "q1", "method": "elicitation/create", "params": {}})
    until(lambda: any(m.get("id") == "q1" for m in client.told))
    fake.hang_up()
    until(lambda: len(fake.heard) == 2)
    client.say({"jsonrpc": "2.0", "id": "q1", "result": {}})
    fake.say({"jsonrpc": "2.0", "id": "q2", "method": "elicitation/create", "params": {}})
    until(lambda: any(m.get("id") == "q2" for m in client.told))
    client.say({"jsonrpc": "2.0", "id": "q2", "result": {}})
    until(lambda: any(m.get("id") == "q2" for m in fake.heard[1]))
    assert not any(m.get("id") == "q1" for m in fake.heard[1])


def test_a_question_asked_while_the_handshake_is_repeated_gets_its_answer(
    daemon: Callable[..., FakeDaemon], client: Client
) -> None:
    initializes = 0

    def inquisitive(message: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal initializes
        if message.get("method") == "initialize":
            initializes += 1
            if initializes == 2:
                fake.say({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {}})
                until(lambda: any(m.get("id") == "q" for m in client.told))
                client.say({"jsonrpc": "2.0", "id": "q", "result": {}})
        return echo(message)

    fake = daemon(inquisitive)
    client.shake_hands()
    fake.hang_up()
    until(lambda: len(fake.heard) == 2 and any(m.get("id") == "q" for m in fake.heard[1]))


def test_without_a_daemon_each_request_says_why_and_the_next_one_tries_again(
    daemon: Callable[..., FakeDaemon], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "FAILURE_PAUSE_S", 0.0)
    error = client.ask(INITIALIZE)["error"]
    assert "no luck today" in error["message"]
    assert error["data"]["code"] == "unavailable"
    daemon()
    assert client.ask({**INITIALIZE, "id": 2})["result"]["method"] == "initialize"


def test_a_refusal_by_another_version_reaches_the_client(daemon: Callable[..., FakeDaemon], client: Client) -> None:
    daemon(greeting={"memmcp": "refused", "reason": "this daemon is version 9: run `memmcp stop`"})
    assert "run `memmcp stop`" in client.ask(INITIALIZE)["error"]["message"]


def test_another_version_of_the_same_protocol_is_served_with_a_word_on_stderr(
    daemon: Callable[..., FakeDaemon], client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon(greeting={"memmcp": "daemon", "protocol": 1, "version": "99.0"})
    assert "result" in client.ask(INITIALIZE)
    assert "runs version 99.0" in capfd.readouterr().err


def test_after_a_stop_the_bridge_is_quiet_until_it_is_spoken_to(
    daemon: Callable[..., FakeDaemon], client: Client
) -> None:
    fake = daemon(silent_on("tools/call"))
    client.shake_hands()
    client.say(call(2, "memory_search", query="q"))
    until(lambda: len(fake.heard[0]) == 3)
    client.places.stopped.touch()
    fake.hang_up()
    assert "was stopped" in client.answer(2)["error"]["message"]
    assert len(fake.heard) == 1
    assert client.ask({"jsonrpc": "2.0", "id": 3, "method": "tools/list"})["result"]["method"] == "tools/list"
    assert [m["method"] for m in fake.heard[1]] == ["initialize", "notifications/initialized", "tools/list"]


def test_a_cancelled_request_is_not_repeated(daemon: Callable[..., FakeDaemon], client: Client) -> None:
    fake = daemon(silent_on("tools/call"))
    client.say(call(1, "memory_search", query="q"))
    until(lambda: fake.heard and fake.heard[0])
    client.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    until(lambda: len(fake.heard[0]) == 2)
    fake.hang_up()
    client.ask({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
    assert [m["method"] for m in fake.heard[1]] == ["tools/list"]


def test_too_many_open_requests_are_refused_one_by_one(
    daemon: Callable[..., FakeDaemon], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "PENDING_MAX", 2)
    daemon(silent_on("tools/call"))
    for number in (1, 2):
        client.say(call(number, "memory_search"))
    assert "2 requests are waiting" in client.ask(call(3, "memory_search"))["error"]["message"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b'{"id":1,"method":"x","params":{"a":Infinity}}', -32700),
        (b"[" * 50_000, -32700),
        (b'{"id":1,"method":"x","params":{"a":' + b"9" * 5_000 + b"}}", -32700),
        (b"[]", -32600),
        (b"3", -32600),
        (b'{"id":null,"method":"x"}', -32600),
        (b'{"id":1.5,"method":"x"}', -32600),
        (b'{"id":true,"method":"x"}', -32600),
        (b'{"id":1,"method":"tools/call","params":{"a":1e999}}', -32700),
    ],
)
def test_what_is_no_message_is_answered_and_never_reaches_the_daemon(client: Client, line: bytes, code: int) -> None:
    client.say(line)
    assert [told["error"]["code"] for told in client.told] == [code]
    client.say(b"   ")
    assert len(client.told) == 1


@pytest.mark.parametrize("argument", [r'"\ud800"', "NaN", "-Infinity", r'["x", {"\udfff": 1}]'])
def test_a_request_that_cannot_be_carried_is_answered_under_its_own_id(client: Client, argument: str) -> None:
    call = (
        f'{{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {{"arguments": {{"content": {argument}}}}}}}'
    )
    client.say(call.encode())
    [answer] = client.told
    assert answer["id"] == 7
    assert answer["error"]["data"]["code"] == "invalid_input"


def test_a_pair_of_surrogates_is_one_character_and_is_carried(
    client: Client, daemon: Callable[..., FakeDaemon]
) -> None:
    daemon(echo)
    client.shake_hands()
    client.say(
        rb'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"arguments": {"content": "\ud83d\ude00"}}}'
    )
    assert "result" in client.answer(7)
