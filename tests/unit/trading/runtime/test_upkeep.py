"""When a wallet's accounts are closed and what of its profit is swept: each rule by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest
from solders.pubkey import Pubkey
from tests.support.signing import COLD, NOW_NS, OTHER_TOKEN, SOL, TOKEN, WALLET
from tests.support.upkeep_messages import empty, own

from trading.config import LiveSection
from trading.execution.upkeep_rules import ACCOUNTS_MAX
from trading.model.chain import AccountSeen
from trading.model.intent import SOL_MINT, Intent, IntentKind, IntentRecord, IntentState, Settlement
from trading.runtime.upkeep import DAY_NS, EMPTY_WALLET_LAMPORTS, Upkeep, UpkeepParts, UpkeepRules
from trading.runtime.upkeep_facts import DeskFacts

pytestmark = pytest.mark.requirement("T10")

FEE = 20_000
RESERVE = SOL // 100
FACTS = DeskFacts((), frozenset(), "", 20 * SOL, 5 * SOL, 2 * SOL, 0)
RULES = UpkeepRules(60.0, 12 * SOL, 10 * SOL, RESERVE, FEE)
HOUR_NS = 3_600 * SOL


@dataclass
class Stage:
    """Bodies of all that the upkeep asks; what it begins is kept."""

    facts: DeskFacts = FACTS
    rules: UpkeepRules = RULES
    lamports: int = 15 * SOL
    seen: dict[str, AccountSeen] = field(default_factory=dict)
    own: list[IntentRecord] = field(default_factory=list)
    records: list[IntentRecord] = field(default_factory=list)
    problem: str = ""
    day_lamports_max: int = 100 * SOL
    swept_lamports: int = 0
    clock_ns: int = NOW_NS
    taken: list[Intent] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts = UpkeepParts(self, self, self, self, self, lambda: self.clock_ns)  # type: ignore[arg-type]
        self.upkeep = Upkeep(parts, WALLET, self.rules)

    @property
    def status(self) -> Mapping[str, Any]:
        armed = {"cold_address": COLD, "sweep_day_lamports_max": self.day_lamports_max}
        return {"armed": None if self.problem else armed, "day": {"swept_lamports": self.swept_lamports}}

    async def ask(self, _question: object) -> DeskFacts:
        return self.facts

    async def take(self, intent: Intent) -> None:
        self.taken.append(intent)

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, AccountSeen | None]:
        wallet = AccountSeen(WALLET, "system", self.lamports, b"", False, 1)
        return {each: wallet if each == WALLET else self.seen.get(each) for each in addresses}

    def unfinished(self) -> Sequence[IntentRecord]:
        return self.own

    def of_keys(self, prefix: str, limit: int) -> Sequence[IntentRecord]:
        return [each for each in self.records if each.intent.key.startswith(prefix)][:limit]

    def look(self) -> tuple[list[Intent], str]:
        """Look once; return what was begun and why nothing was swept."""
        self.taken.clear()
        anyio.run(self.upkeep.look)
        return list(self.taken), self.upkeep.seen["sweep"]["why_not"]


def earlier(kind: IntentKind, state: IntentState, created_ns: int, number: int = 7) -> IntentRecord:
    intent = Intent(
        f"int-{number}", f"upkeep/{WALLET}/{number}", WALLET, SOL_MINT, SOL_MINT, 1, 1, 0, FEE, 3, created_ns, 0, False
    )
    return IntentRecord(replace(intent, kind=kind), state)


def test_a_sweep_goes_to_the_armed_cold_address_and_leaves_what_exits_need() -> None:
    stage = Stage(replace(FACTS, exit_lamports=3_000_000))
    [intent], why_not = stage.look()
    assert why_not == ""
    assert (intent.kind, intent.wallet, intent.to_address) == (IntentKind.SWEEP, WALLET, COLD)
    assert intent.amount_in == intent.min_out == 5 * SOL - FEE
    assert intent.leaves_lamports == RESERVE + 3_000_000 + EMPTY_WALLET_LAMPORTS
    assert intent.key == f"upkeep/{WALLET}/1"


@pytest.mark.parametrize(
    ("stage", "lamports"),
    [
        (Stage(), 5 * SOL - FEE),
        (Stage(replace(FACTS, profit_lamports=50 * SOL)), 10 * SOL - FEE),
        (Stage(replace(FACTS, profit_lamports=50 * SOL, tier_lamports=18 * SOL)), 2 * SOL - FEE),
        (Stage(lamports=3 * SOL), 3 * SOL - RESERVE - EMPTY_WALLET_LAMPORTS - FEE),
        (Stage(replace(FACTS, exit_lamports=2 * SOL), lamports=3 * SOL), SOL - RESERVE - EMPTY_WALLET_LAMPORTS - FEE),
        (Stage(day_lamports_max=4 * SOL, swept_lamports=SOL), 3 * SOL),
    ],
    ids=["profit", "kept equity", "tier", "wallet", "exits", "mandate"],
)
def test_what_is_swept_is_the_least_of_what_may_go(stage: Stage, lamports: int) -> None:
    [intent], _ = stage.look()
    assert intent.amount_in == lamports


ORDER = IntentRecord(
    Intent("int-1", "run/1", WALLET, SOL_MINT, TOKEN, 1, 1, 0, FEE, 3, NOW_NS, NOW_NS, False), IntentState.SIGNED
)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (Stage(rules=replace(RULES, above_lamports=0)), "sweeping is off"),
        (Stage(replace(FACTS, equity_lamports=12 * SOL)), "not above"),
        (Stage(replace(FACTS, profit_lamports=FEE)), "profit leaves 0"),
        (Stage(replace(FACTS, profit_lamports=-SOL)), "profit leaves 0"),
        (Stage(replace(FACTS, problem="the desk is HALTED")), "HALTED"),
        (Stage(problem="real money is not armed"), "not armed"),
        (Stage(own=[ORDER]), "1 transactions are under way"),
        (Stage(day_lamports_max=0), "the mandate's sum of a day leaves 0"),
        (Stage(lamports=RESERVE), "the wallet's SOL above its reserves leaves 0"),
        (Stage(records=[earlier(IntentKind.SWEEP, IntentState.SETTLED, NOW_NS - DAY_NS + 1)]), "within 24 hours"),
        (Stage(records=[earlier(IntentKind.SWEEP, IntentState.FAILED, NOW_NS - HOUR_NS + 1)]), "failed a while ago"),
        (Stage(records=[earlier(IntentKind.SWEEP, IntentState.REVERTED, NOW_NS - HOUR_NS + 1)]), "failed a while ago"),
    ],
)
def test_nothing_is_swept_and_it_is_said_why(stage: Stage, said: str) -> None:
    found, why_not = stage.look()
    assert found == []
    assert said in why_not


@pytest.mark.parametrize("state", [IntentState.SETTLED, IntentState.FAILED])
def test_the_next_day_may_sweep_again_under_a_new_name(state: IntentState) -> None:
    [intent], _ = Stage(records=[earlier(IntentKind.SWEEP, state, NOW_NS - DAY_NS)]).look()
    assert intent.key == f"upkeep/{WALLET}/8"


def test_one_thing_at_a_time() -> None:
    under_way = earlier(IntentKind.CLOSE_ACCOUNTS, IntentState.SIGNED, NOW_NS)
    stage = Stage(own=[under_way], records=[under_way])
    assert stage.look()[0] == []
    stage.upkeep.changed("int-1")
    assert not stage.upkeep._woken.is_set()
    stage.upkeep.changed("int-7")
    assert stage.upkeep._woken.is_set()


def closing_stage(*mints: str, **changes: Any) -> Stage:
    seen = {own(mint).address: empty(own(mint)) for mint in mints}
    return Stage(replace(FACTS, deposits=mints, equity_lamports=0), seen=seen, **changes)


def test_an_account_is_closed_when_it_was_empty_for_long_enough_without_a_break() -> None:
    stage = closing_stage(TOKEN, OTHER_TOKEN)
    assert stage.look()[0] == []
    stage.clock_ns += 59 * SOL
    stage.seen[own(OTHER_TOKEN).address] = empty(own(OTHER_TOKEN), amount=b"\1" + bytes(7))
    assert stage.look()[0] == []
    stage.seen[own(OTHER_TOKEN).address] = empty(own(OTHER_TOKEN))
    stage.clock_ns += SOL
    [intent], _ = stage.look()
    assert (intent.kind, intent.accounts, intent.amount_in) == (IntentKind.CLOSE_ACCOUNTS, (own(),), 0)
    assert intent.min_out == 2_039_280
    stage.clock_ns += 60 * SOL
    [intent], _ = stage.look()
    assert intent.accounts == (own(), own(OTHER_TOKEN))


AT_ONCE = replace(RULES, close_after_s=0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": replace(RULES, close_after_s=None)},
        {"rules": AT_ONCE, "problem": "real money is not armed"},
        {"rules": AT_ONCE, "own": [ORDER]},
        {"rules": replace(AT_ONCE, fee_lamports_max=3_000_000)},
        {"rules": AT_ONCE, "records": [earlier(IntentKind.CLOSE_ACCOUNTS, IntentState.FAILED, NOW_NS - HOUR_NS + 1)]},
    ],
    ids=["off", "not armed", "its token is swapped", "not worth the fee", "failed lately"],
)
def test_an_account_stays_open(changes: dict[str, Any]) -> None:
    assert closing_stage(TOKEN, **changes).look()[0] == []


def test_what_is_held_or_on_order_and_wrapped_sol_stay_open() -> None:
    stage = closing_stage(TOKEN, OTHER_TOKEN, SOL_MINT, rules=AT_ONCE)
    stage.facts = replace(stage.facts, busy=frozenset({TOKEN}))
    [intent], _ = stage.look()
    assert intent.accounts == (own(OTHER_TOKEN),)


def test_many_accounts_are_closed_a_few_at_a_time() -> None:
    mints = [str(Pubkey.from_bytes(bytes([number]) * 32)) for number in range(1, ACCOUNTS_MAX + 3)]
    [intent], _ = closing_stage(*mints, rules=AT_ONCE).look()
    assert len(intent.accounts) == ACCOUNTS_MAX


def test_tokens_are_found_by_the_chains_names() -> None:
    stage = closing_stage(TOKEN, rules=replace(AT_ONCE, names={TOKEN: "FROG"}))
    stage.facts = replace(stage.facts, deposits=("FROG",))
    [intent], _ = stage.look()
    assert intent.accounts == (own(),)


def test_what_was_swept_last_is_shown() -> None:
    known = earlier(IntentKind.SWEEP, IntentState.SETTLED, NOW_NS)
    settled = Settlement("int-7", "sig", 5, None, 3 * SOL, 3 * SOL, 5_000, 0, 0)
    stage = Stage(records=[replace(known, settlement=settled, intent=replace(known.intent, to_address=COLD))])

    async def nothing(_records: object) -> None:
        """It is in the books."""

    stage.upkeep._book = nothing  # type: ignore[method-assign]
    stage.look()
    last = stage.upkeep.seen["last_sweep"]
    assert (last["lamports"], last["to_address"], last["signature"]) == (3 * SOL, COLD, "sig")


def test_more_is_not_kept_than_is_waited_for() -> None:
    assert LiveSection(sweep_above_sol="12", sweep_keep_sol="10").sweep_keep_sol == 10  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is above sweep_above_sol"):
        LiveSection(sweep_above_sol="9", sweep_keep_sol="10")  # type: ignore[arg-type]
