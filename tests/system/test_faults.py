"""What goes wrong around a daemon: killed, stopped, second, hindered. Nobody else is harmed; each error says why."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.agents import (
    QUIET,
    ROOT,
    Agent,
    agents,
    daemon_pid,
    data_directory,
    end_daemon,
    environment,
    http_client,
    until,
)
from typer.testing import CliRunner

from memmcp_server.cli import app
from memmcp_server.cli.client import is_served
from memmcp_server.daemon.places import Places

pytestmark = pytest.mark.system


def memmcp(*arguments: str, data_dir: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memmcp_server", *arguments, "--data-dir", str(data_dir)],
        env=environment(extra),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A data directory for all tests whose fault is not in it: what a daemon has lived through harms no later one."""
    with data_directory() as directory:
        yield directory


@pytest.fixture
def agent(shared: Path) -> Iterator[Agent]:
    """An agent of that directory; its daemon is started where the test before has ended it."""
    with agents(shared, 1) as (one,):
        one.initialize()
        yield one


def freeze_and_kill(data_dir: Path, agent: Agent, tool: str, **arguments: object) -> dict[str, object]:
    """Have the daemon die while it holds an unanswered call."""
    assert "result" in agent.request("ping")
    pid = daemon_pid(data_dir)
    os.kill(pid, signal.SIGSTOP)
    request = agent.begin("tools/call", {"name": tool, "arguments": arguments})
    # An answer to this needs the main thread only, so the call before it has left the bridge.
    agent.send(b"not json\n")
    assert agent.strays.get(timeout=10)["error"]["code"] == -32700
    os.kill(pid, signal.SIGKILL)
    answer = agent.answer(request, 60)
    until(lambda: daemon_pid(data_dir) not in (0, pid))
    return answer


@pytest.mark.requirement("M2")
def test_a_read_and_a_memory_write_survive_the_daemons_death_in_mid_call(shared: Path, agent: Agent) -> None:
    first = agent.call("memory_write", content="Quolls hunt at night")
    found = freeze_and_kill(shared, agent, "memory_search", query="quolls")
    assert found["result"]["structuredContent"]["hits"][0]["id"] == first["id"]  # type: ignore[index]

    written = freeze_and_kill(shared, agent, "memory_write", content="Numbats eat termites")
    assert not written["result"].get("isError")  # type: ignore[attr-defined]
    assert agent.call("memory_write", content="Numbats eat termites")["duplicate"]
    assert len(agent.call("memory_search", query="numbats termites")["hits"]) == 1


@pytest.mark.requirement("M3")
def test_an_order_is_never_repeated_and_its_answer_names_the_key(shared: Path, agent: Agent) -> None:
    order = {"side": "buy", "mint": "BONK", "amount_sol": "0.1", "reason": "test of a death"}
    answer = freeze_and_kill(shared, agent, "place_trade", **order)
    error = answer["error"]
    assert error["data"]["code"] == "outcome_unknown"  # type: ignore[index]
    key = error["data"]["idempotency_key"]  # type: ignore[index]
    assert f'idempotency_key="{key}"' in error["message"]  # type: ignore[index]
    named = freeze_and_kill(shared, agent, "place_trade", **order, idempotency_key="mine-1")
    assert named["error"]["data"]["idempotency_key"] == "mine-1"  # type: ignore[index]


def test_after_stop_the_bridge_waits_for_its_clients_next_message(shared: Path, agent: Agent) -> None:
    before = daemon_pid(shared)
    assert CliRunner().invoke(app, ["stop", "--data-dir", str(shared)], env=QUIET).exit_code == 0
    assert Places(shared).stopped.exists()
    assert not is_served(Places(shared))
    assert agent.process.poll() is None

    assert agent.call("memory_search", query="anything")["hits"] == []
    assert daemon_pid(shared) != before
    assert not Places(shared).stopped.exists()


def test_a_killed_daemon_is_started_again_before_the_next_message(shared: Path, agent: Agent) -> None:
    before = daemon_pid(shared)
    os.kill(before, signal.SIGKILL)
    until(lambda: daemon_pid(shared) not in (0, before))
    assert agent.call("memory_search", query="anything")["hits"] == []


def test_sigterm_ends_the_daemon_in_order(shared: Path, agent: Agent) -> None:
    places = Places(shared)
    before = places.log.read_text()
    os.kill(daemon_pid(shared), signal.SIGTERM)
    until(lambda: not is_served(places))
    assert (places.stopped.exists(), places.record.exists(), places.socket.exists()) == (True, False, False)
    assert "memMCP has ended: SIGTERM" in places.log.read_text().removeprefix(before)


def test_a_second_daemon_is_refused_by_name_and_harms_nothing(shared: Path, agent: Agent) -> None:
    pid = daemon_pid(shared)
    second = memmcp("serve", "--port", "0", data_dir=shared)
    assert second.returncode == 1
    assert f"pid {pid}" in second.stderr
    assert "memmcp stop" in second.stderr
    spawned = subprocess.run(
        [sys.executable, "-m", "memmcp_server.daemon", "--data-dir", str(shared)],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert spawned.returncode == 0
    assert daemon_pid(shared) == pid
    assert agent.call("memory_search", query="anything")["hits"] == []


def test_a_taken_port_is_an_error_for_a_person_and_none_for_an_agent(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        person = memmcp("serve", "--port", str(port), data_dir=data_dir)
        assert person.returncode == 2
        assert f"port {port}" in person.stderr
        environ = environment({"MEMMCP_HTTP__PORT": str(port)})
        with agents(data_dir, 1, environ=environ) as (agent,):
            agent.initialize()
            http = str(http_client(data_dir).record["http"])
            assert int(http.rpartition(":")[2]) not in (0, port)


def test_an_unusable_data_directory_is_named_to_agent_and_person(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with agents(file, 1) as (agent,):
        error = agent.request("initialize", agent.handshake())["error"]
        assert str(file) in error["message"]
        assert "--data-dir" in error["message"]
    person = memmcp("serve", data_dir=file)
    assert person.returncode == 1
    assert str(file) in person.stderr


def test_a_damaged_journal_is_named_and_left_alone(data_dir: Path) -> None:
    damaged = data_dir / "journal.db"
    damaged.write_bytes(b"this is no database" * 1_000)
    with agents(data_dir, 1) as (agent,):
        error = agent.request("initialize", agent.handshake(), 60)["error"]
        assert str(damaged) in error["message"]
    person = memmcp("serve", "--port", "0", data_dir=data_dir)
    assert person.returncode == 1
    assert str(damaged) in person.stderr
    assert damaged.read_bytes().startswith(b"this is no database")


def test_bad_settings_are_told_to_the_agent_whose_daemon_cannot_start(data_dir: Path) -> None:
    (data_dir / "memmcp.toml").write_text('[journal]\nreaders = "many"\n[relay]\nspeed = 3\n')
    with agents(data_dir, 1) as (agent,):
        message = agent.request("initialize", agent.handshake())["error"]["message"]
        assert "journal.readers (file): given 'many'" in message
        assert "relay.speed" in message


def test_a_daemon_that_nobody_needs_ends_by_itself(data_dir: Path) -> None:
    environ = environment({"MEMMCP_DAEMON__IDLE_EXIT_S": "1.5"})
    with agents(data_dir, 1, environ=environ) as (agent,):
        agent.initialize()
        assert agent.call("memory_search", query="anything")["hits"] == []
        assert is_served(Places(data_dir))
    until(lambda: not is_served(Places(data_dir)))
    assert "nobody was here" in Places(data_dir).log.read_text()


def test_what_a_crashed_daemon_left_behind_is_no_obstacle(shared: Path, agent: Agent) -> None:
    places = Places(shared)
    agent.close()
    end_daemon(shared)
    assert places.record.exists()
    assert places.socket.exists()
    with agents(shared, 1) as (next_agent,):
        assert "result" in next_agent.initialize()


def test_hostile_lines_are_answered_and_the_session_goes_on(shared: Path, agent: Agent) -> None:
    for line, code in (
        (b"{broken\n", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"x":NaN}}\n', -32700),
        (b"[1,2]\n", -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"tools/list"}\n', -32600),
        (b"[" * 100_000 + b"\n", -32700),
        (b"x" * (5 * 1024 * 1024) + b"\n", -32600),
    ):
        agent.send(line)
        assert agent.strays.get(timeout=10)["error"]["code"] == code
    huge = json.dumps({"content": "x" * 100_000})
    answer = agent.request("tools/call", {"name": "memory_write", "arguments": json.loads(huge)})
    assert answer["result"]["isError"]
    assert agent.call("memory_search", query="anything")["hits"] == []


def test_a_client_that_probes_and_then_shakes_hands_gets_a_connection_of_its_own(shared: Path) -> None:
    with agents(shared, 1) as (agent,):
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "probe", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        probe = agent.request("server/discover", {"_meta": meta})
        assert "result" in probe, probe
        assert agent.initialize()["result"]["protocolVersion"] == "2025-11-25"
        assert agent.call("memory_search", query="anything")["hits"] == []


@pytest.mark.requirement("M10")
def test_a_person_starts_it_in_the_foreground_and_ctrl_c_ends_it(data_dir: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "memmcp_server",
        "serve",
        "--no-trading",
        "--port",
        "0",
        "--data-dir",
        str(data_dir),
    ]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environment(), cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    try:
        until(lambda: daemon_pid(data_dir) == process.pid)
        assert http_client(data_dir).get("/health")["checks"]["journal"] == "ok"
        with agents(data_dir, 1) as (agent,):
            agent.initialize()
            assert daemon_pid(data_dir) == process.pid
            process.send_signal(signal.SIGINT)
            told, complained = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "  page    http://127.0.0.1:" in told
        assert str(data_dir) in told
        assert complained == ""
        assert "ending: SIGINT" in Places(data_dir).log.read_text(encoding="utf-8")
    finally:
        process.kill()
        process.wait()


def processes_of(data_dir: Path) -> list[str]:
    """Return the command lines of living processes that name the directory or work in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            folder = str((entry / "cwd").readlink())
        except OSError:
            continue
        if line and (str(data_dir) in line or folder == str(data_dir)):
            found.append(line)
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_a_daemon_outlives_it(shared: Path, how: signal.Signals) -> None:
    with agents(shared, 1) as (agent,):
        agent.initialize()
        until(lambda: len(processes_of(shared)) >= 3)  # bridge, daemon, index worker
    os.kill(daemon_pid(shared), how)
    until(lambda: processes_of(shared) == [])


@pytest.mark.requirement("O1")
def test_a_desk_that_cannot_start_says_why_and_memory_works_on(data_dir: Path) -> None:
    settings = {"MEMMCP_TRADING__ENABLED": "true", "MEMMCP_TRADING__FEED": "replay:/no/such/bars.csv.gz"}
    with agents(data_dir, 1, environ=environment(settings)) as (agent,):
        agent.initialize()
        agent.call("memory_write", content="Bilbies have long ears")
        assert agent.call("memory_search", query="bilbies")["hits"]

        def reason() -> str:
            answer = agent.request("tools/call", {"name": "telemetry_trading", "arguments": {}})
            assert answer["result"]["isError"]
            return str(answer["result"]["content"])

        until(lambda: "/no/such/bars.csv.gz" in reason())
        health = http_client(data_dir).get("/health")
        assert (health["ready"], health["status"]) == (False, "degraded")
        assert "/no/such/bars.csv.gz" in health["checks"]["trading"]


HASTY = (
    "import sys, memmcp_server.daemon.session as session; "
    "session.HUNG_AFTER_S, session.PROBE_S, session.WATCH_S = 1.5, 1.0, 0.25; "
    "from memmcp_server.daemon.bridge import main; sys.exit(main(sys.argv[1:]))"
)
"""A bridge whose patience is counted in seconds, so that this test is not."""


@pytest.mark.requirement("M10")
def test_a_daemon_that_hangs_is_named_and_when_it_wakes_the_session_goes_on(shared: Path) -> None:
    with agents(shared, 1, command=(sys.executable, "-c", HASTY)) as (agent,):
        agent.initialize()
        agent.call("memory_write", content="Numbats eat termites", namespace="hanging")
        pid = daemon_pid(shared)
        os.kill(pid, signal.SIGSTOP)
        try:
            read = agent.begin("tools/call", {"name": "memory_search", "arguments": {"query": "numbats"}})
            order = {
                "side": "buy",
                "mint": "BONK",
                "amount_sol": "0.1",
                "reason": "a test",
                "idempotency_key": "mine-2",
            }
            act = agent.begin("tools/call", {"name": "place_trade", "arguments": order})
            told = agent.answer(read, 20)["error"]
            assert "the daemon hangs" in told["message"]
            assert told["data"]["code"] == "unavailable"
            unknown = agent.answer(act, 20)["error"]
            assert (unknown["data"]["code"], unknown["data"]["idempotency_key"]) == ("outcome_unknown", "mine-2")
        finally:
            os.kill(pid, signal.SIGCONT)
        found = agent.call("memory_search", query="numbats termites", namespace="hanging")
        assert len(found["hits"]) == 1
        assert daemon_pid(shared) == pid
        assert agent.strays.empty()  # what it said too late reached nobody


def test_a_hundred_clients_that_close_their_input_leave_no_process(shared: Path, agent: Agent) -> None:
    """Each bridge ends by itself within its bound; the daemon stays, alone and without children of theirs."""
    pid = daemon_pid(shared)
    for batch in range(10):
        with agents(shared, 10) as group:
            for one in group[: 5 + batch % 2]:
                one.initialize()  # the others go before they said anything
            bridges = [one.process for one in group]
            for bridge in bridges:
                assert bridge.stdin is not None
                bridge.stdin.close()
            assert [bridge.wait(5) for bridge in bridges] == [0] * 10
    until(lambda: http_client(shared).get("/admin/status")["clients"] == 1)
    assert daemon_pid(shared) == pid
    commands = [command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert len([each for each in commands if b"stdio" in each and str(shared).encode() in each]) == 1


def command_line(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it has ended meanwhile
