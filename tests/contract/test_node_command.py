"""``memmcp-trade node``: what a person sees of the nodes and tells them, on a real PostgreSQL."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.node_stage import NodeStage, node_stage
from tests.support.postgres import PostgresServer
from typer.testing import CliRunner

from trading.adapters.node_store.opening import StoreRules
from trading.cli import app
from trading.model.node import SharedLimits

pytestmark = pytest.mark.requirement("T16")
MINT = "FrogMint11111111111111111111111111111111111"


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer) -> Iterator[NodeStage]:
    with node_stage(postgres, StoreRules()) as made:
        made.orders.share(SharedLimits(), "test")
        yield made


def told(stage: NodeStage, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["node", *arguments, "--json"], env={"TRADING_NODES__URL": stage.url})
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def refused(*arguments: str, **env: str) -> str:
    result = CliRunner().invoke(app, ["node", *arguments, "--json"], env=env)
    assert result.exit_code == 2, result.output
    return result.output


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is asked for on a terminal pass."""
    monkeypatch.setattr("trading.signing.terminal.require_terminal", lambda: None)


@pytest.mark.usefixtures("terminal")
def test_limits_are_shown_and_set_one_by_one(stage: NodeStage) -> None:
    assert told(stage, "limits")["exposure_lamports_max"] == 0, "nothing is bought before a person says how much"
    told(stage, "limits", "--exposure-sol", "2", "--token-sol", "1.5", "--entries", "3")
    now = told(stage, "limits", "--reduce-only")
    assert (now["exposure_lamports_max"], now["token_lamports_max"]) == (2 * 10**9, 15 * 10**8)
    assert (now["entries_open_max"], now["state"]) == (3, "reducing")
    assert told(stage, "limits", "--active")["used"] == {"lamports": 0, "entries_open": 0, "by_token": {}}


@pytest.mark.usefixtures("terminal")
def test_an_order_is_split_and_shown_and_cancelled(stage: NodeStage) -> None:
    wallets = ("--wallet", "one", "--wallet", "two")
    given = ("--amount", "1001", "--least", "7", "--slices", "4", "--over-s", "60")
    made = told(stage, "order", "buy", MINT, *given, *wallets)
    assert made["children"] == 4
    seen = told(stage, "list")
    assert (seen["nodes"], seen["children"]) == ([], {"planned": 4})
    ended = told(stage, "cancel", made["order"], "--reason", "changed my mind")
    assert [each["state"] for each in ended["children"]] == ["cancelled"] * 4
    shown = CliRunner().invoke(app, ["node", "list"], env={"TRADING_NODES__URL": stage.url, "COLUMNS": "160"})
    assert "purchases at once" in shown.stdout


@pytest.mark.usefixtures("terminal")
def test_a_purchase_by_hand_is_no_cheaper_than_what_the_nodes_hold(stage: NodeStage) -> None:
    with stage.door.writing() as connection:
        connection.exec_driver_sql(f"INSERT INTO holdings VALUES ('w', '{MINT}', 500, 1000)")
    made = told(stage, "order", "buy", MINT, "--amount", "100", "--least", "1", "--wallet", "one")
    with stage.door.writing() as connection:
        body = connection.exec_driver_sql(f"SELECT body FROM children WHERE parent_id = '{made['order']}'").scalar_one()
    assert json.loads(bytes(body))["out_max"] == 50, "at two lamports a unit"


def test_who_has_no_terminal_can_only_make_it_safer(stage: NodeStage) -> None:
    env = {"TRADING_NODES__URL": stage.url}
    order = ("order", "buy", MINT, "--amount", "9", "--least", "1", "--wallet", "w")
    for given in (("limits", "--entries", "9"), ("limits", "--active"), order):
        assert "is not a terminal" in refused(*given, **env)
    assert told(stage, "limits", "--reduce-only")["state"] == "reducing"


@pytest.mark.usefixtures("terminal")
def test_a_halted_wallet_waits_for_a_person_with_its_evidence(stage: NodeStage) -> None:
    stage.orders.halt("w", "a swap that nobody wrote down", {"signature": "abc"})
    [item] = told(stage, "review")["waiting"]
    assert (item["id"], item["answers"]) == ("wallet/w", ["release"])
    assert any("abc" in each for each in item["evidence"])
    arguments = ["node", "answer", "wallet/w", "release", "--reason", "it was mine"]
    result = CliRunner().invoke(app, arguments, env={"TRADING_NODES__URL": stage.url})
    assert result.exit_code == 0, result.output
    assert told(stage, "review") == {"waiting": []}
    assert not stage.orders.halted()


def test_what_is_missing_or_wrong_is_named(stage: NodeStage) -> None:
    assert "none is named" in refused("list")
    assert "nodes.url" in refused("list", TRADING_NODES__URL="sqlite:///x")
    assert "allowed: buy, sell" in refused("order", "hold", MINT, "--amount", "1", "--least", "1", "--wallet", "w")
    assert "is not known" in refused("cancel", "nothing", "--reason", "x", TRADING_NODES__URL=stage.url)
    assert "chain.endpoints" in refused("run", "--name", "a", TRADING_NODES__URL=stage.url)
    slow = {"TRADING_NODES__ANSWER_S": "10", "TRADING_NODES__LEASE_S": "12"}
    assert "one slow answer would lose a lease" in refused("list", TRADING_NODES__URL=stage.url, **slow)
    stuck = {"TRADING_NODES__STUCK_S": "6"}
    assert "one that stops holds all up" in refused("list", TRADING_NODES__URL=stage.url, **stuck)
    assert "allowed are 1 to 63" in refused("run", "--name", "A b", TRADING_NODES__URL=stage.url)
