"""The readiness list: each check from both sides, and what real money asks for that a rehearsal does not."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.signing import NOW_NS, NS_PER_S, REHEARSAL_GENESIS, WALLET, mandate

from trading.model.mandate import MAINNET_GENESIS
from trading.signing.readiness import (
    BackupSeen,
    EndpointSeen,
    PaperSeen,
    Readiness,
    ReviewSeen,
    SignerSeen,
    checks_of,
    lower_end,
)

DAY_NS = 24 * 3_600 * NS_PER_S
ONE, TWO = (EndpointSeen(f"https://{name}.example", MAINNET_GENESIS, 1_000) for name in ("one", "two"))
PAPER = PaperSeen("run-1", NOW_NS - 20 * DAY_NS, NOW_NS, 200, 0, {"trend": (100, 120) * 20})
READY = Readiness(
    now_ns=NOW_NS,
    mandate=mandate(genesis_hash=MAINNET_GENESIS, ramp_trades=5),
    endpoints=(ONE, TWO),
    signer=SignerSeen(True, (WALLET,)),
    review=ReviewSeen(0, ()),
    backup=BackupSeen("/backup", NOW_NS - DAY_NS, 2),
    paper=PAPER,
)


def in_the_way(found: Readiness) -> list[str]:
    return [each.name for each in checks_of(found) if each.is_in_the_way]


def test_everything_in_order_lets_real_money_be_armed() -> None:
    assert in_the_way(READY) == []
    assert all(each.evidence for each in checks_of(READY))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"endpoints": (ONE,)}, ["endpoints"]),
        ({"endpoints": (ONE, replace(TWO, block_height=949))}, ["endpoints"]),
        ({"endpoints": (ONE, replace(TWO, error="no answer"))}, ["endpoints"]),
        ({"endpoints": (ONE, replace(TWO, genesis_hash=REHEARSAL_GENESIS))}, ["genesis hash"]),
        ({"endpoints": ()}, ["endpoints", "genesis hash"]),
        ({"mandate": replace(READY.mandate, order_lamports_max=0)}, ["limits"]),
        ({"mandate": replace(READY.mandate, slippage_bps_max=0)}, ["limits"]),
        ({"mandate": replace(READY.mandate, expires_ns=NOW_NS)}, ["limits"]),
        ({"mandate": replace(READY.mandate, ramp_trades=0)}, ["limits"]),
        ({"signer": SignerSeen(False, ())}, ["signer"]),
        ({"signer": SignerSeen(False, (), "nobody answers")}, ["signer"]),
        ({"signer": SignerSeen(True, (MAINNET_GENESIS,))}, ["signer"]),
        ({"review": ReviewSeen(1, ())}, ["review queue"]),
        ({"review": ReviewSeen(0, (WALLET,))}, ["review queue"]),
        ({"backup": None}, ["back-up"]),
        ({"backup": BackupSeen("/b", NOW_NS - 8 * DAY_NS, 2)}, ["back-up"]),
        ({"backup": BackupSeen("/b", NOW_NS + DAY_NS, 2)}, ["back-up"]),
        ({"backup": BackupSeen("/b", NOW_NS, 0)}, ["back-up"]),
        ({"backup": BackupSeen("/b", NOW_NS, 2, "journal.db: malformed")}, ["back-up"]),
        ({"paper": None}, ["paper record", "drift", "net expectancy"]),
        ({"paper": replace(PAPER, from_ns=NOW_NS - 13 * DAY_NS)}, ["paper record"]),
        ({"paper": replace(PAPER, trades=29)}, ["paper record"]),
        ({"paper": replace(PAPER, drifting=1)}, ["drift"]),
        ({"paper": replace(PAPER, results={})}, ["net expectancy"]),
        ({"paper": replace(PAPER, results={"trend": (100,) * 29})}, ["net expectancy"]),
        ({"paper": replace(PAPER, results={"trend": (1_000, -900) * 20})}, ["net expectancy"]),
        ({"paper": replace(PAPER, results={"trend": (100,) * 40, "other": (-1,) * 40})}, ["net expectancy"]),
    ],
)
def test_what_is_not_in_order_is_in_the_way_by_name(changes: dict[str, Any], told: list[str]) -> None:
    found = replace(READY, **changes)
    assert in_the_way(found) == told
    assert all(each.remedy for each in checks_of(found) if each.is_in_the_way)


def test_worthless_coins_ask_for_no_record() -> None:
    endpoints = tuple(replace(each, genesis_hash=REHEARSAL_GENESIS) for each in (ONE, TWO))
    rehearsal = replace(READY, mandate=mandate(), endpoints=endpoints, backup=None, paper=None)
    assert in_the_way(rehearsal) == []
    assert [each.name for each in checks_of(rehearsal) if not each.is_met] == [
        "back-up",
        "paper record",
        "drift",
        "net expectancy",
    ]
    assert in_the_way(replace(rehearsal, review=ReviewSeen(1, ()))) == ["review queue"]


def test_the_lower_end_is_below_the_mean_by_its_error() -> None:
    assert lower_end([10] * 30) == 10
    assert lower_end([0, 20] * 50) == pytest.approx(10 - 1.645 * 10.0504 / 10, abs=1e-3)
    assert lower_end([10] * 29) is None


def test_a_key_in_an_endpoints_address_is_in_no_evidence() -> None:
    addresses = [f"https://user:k3y@{name}.example/k3y/?api-key=k3y" for name in ("one", "two", "three")]
    silent, behind, good = addresses
    seen = (
        EndpointSeen(silent, "", 0, "it does not answer"),
        EndpointSeen(behind, MAINNET_GENESIS, 1),
        EndpointSeen(good, MAINNET_GENESIS, 1_000),
    )
    [told] = [each.evidence for each in checks_of(replace(READY, endpoints=seen)) if each.name == "endpoints"]
    assert "behind: two.example; silent: one.example (it does not answer)" in told
    assert "k3y" not in told
