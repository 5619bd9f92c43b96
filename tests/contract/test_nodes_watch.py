"""What a desk shows and counts of its execution nodes, also while their database is away."""

import time
from decimal import Decimal

import pytest
from pydantic import SecretStr
from tests.contract.test_node_store import attempt_of, journal_of, settle
from tests.support.node_stage import node_stage, wish
from tests.support.postgres import PostgresServer

from memmcp_server.wire.execution import NodeView
from trading.adapters.node_store.opening import StoreRules
from trading.config import NodesSection
from trading.model.chain import Commitment, StatusSeen
from trading.model.node import NodeState
from trading.runtime.nodes_watch import NodesWatch

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T16"), pytest.mark.requirement("D8")]


async def test_each_node_is_shown_with_its_work_its_wallets_and_how_long_it_took(postgres: PostgresServer) -> None:
    with node_stage(postgres, StoreRules()) as stage:
        stage.empty()
        holder, held = stage.all_leases("busy", "w", "v")
        stage.planned("one", "w", "v")
        first, second = sorted(stage.orders.claim(holder, ["w", "v"], 5), key=lambda each: each.wallet)
        settle(stage, held["v"], first, units=7)
        ours = journal_of(stage, held["w"])
        ours.signed(attempt_of(second))
        ours.landed(second.id, StatusSeen("s", 5, Commitment.CONFIRMED, "", "x"))
        ours.halt("w", "a swap that nobody wrote down", {})
        told = {"lamports": {"w": "5", "v": "6", "elsewhere": "9"}}
        stage.leases.beat(holder, wish("w", "v", told=told))
        gone = stage.leases.register("gone", "1")
        stage.leases.leave(gone)
        drains = stage.leases.register("leaving", "1")
        stage.leases.beat(drains, wish("w", state=NodeState.DRAINING))
        ahead_s = 0.0
        section = NodesSection(url=SecretStr(stage.url), lease_s=10, answer_s=4)
        watch = NodesWatch(section, lambda: time.monotonic() + ahead_s)
        assert watch.documents(None) == []
        await watch.look()
        shown = [NodeView.model_validate({"version": "x", **each}) for each in watch.documents(Decimal(100))]
        states = {each.id: each.state for each in shown}
        assert states == {"busy": "working", "gone": "ended", "leaving": "draining"}
        busy = shown[0]
        done = busy.transactions
        assert (done.success, done.under_way, busy.costs.fee_lamports) == (1, 1, 5_000)
        assert [(each.name, each.count) for each in busy.latency] == [("send", 2), ("confirm", 1)]
        assert all(each.p99_s is not None and 0 <= each.p99_s < 10 for each in busy.latency)
        wallets = {each.address: each for each in busy.wallets}
        assert (wallets["v"].cash.lamports, wallets["v"].leased_by) == (6, "busy, token 1")
        assert (wallets["w"].state, wallets["w"].problem) == ("HALTED", "a swap that nobody wrote down")
        figures = {each["name"]: each for each in watch.figures()}
        up = {tuple(each["labels"]): each["value"] for each in figures["memmcp_trading_node_up"]["series"]}
        assert up == {("busy",): 1, ("gone",): 0, ("leaving",): 1}
        assert figures["memmcp_trading_node_balance_lamports"]["series"][0]["value"] == 11
        assert figures["memmcp_trading_nodes_exposure_lamports"]["series"][0]["value"] == 2_000
        assert watch.health() == {"problem": "", "silent": {}, "halted": {"w": "a swap that nobody wrote down"}}
        ahead_s = 11.0
        assert list(watch.health()["silent"]) == ["busy", "leaving"]
        ahead_s = 0.0
        postgres.execute(f'ALTER DATABASE "{stage.door.engine.url.database}" ALLOW_CONNECTIONS false')
        assert watch._door is not None
        watch._door.close()
        await watch.look()
        assert "not" in watch.problem
        ahead_s = 11.0
        assert {each["id"]: each["state"] for each in watch.documents(None)}["busy"] == "silent"
        assert (watch.health()["silent"], watch.health()["problem"]) == ({}, watch.problem[:200])
        assert watch.figures()[0]["series"][0]["value"] == 0
        watch._door.close()
