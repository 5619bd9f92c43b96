"""Cut the executor at every boundary, in every weather: one swap or a proven none, and books that agree to the unit."""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.doubles.plain_chain import TOKEN, Endpoint, PlainChain, PlainPreparer, buying
from tests.support.execution import Knife, finish, keep_statements, live_once

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.model.intent import SOL_MINT, Intent, IntentRecord, IntentState

pytestmark = pytest.mark.requirement("T10")

START_LAMPORTS = 5 * 10**9
BUY_LAMPORTS = 10**9
RUNS_EACH = 200
"""2,000 over all weathers."""

WALLET = "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx"


def calm(_chain: PlainChain) -> None:
    """Nothing goes wrong."""


def delayed(chain: PlainChain) -> None:
    for endpoint in chain.endpoints:
        endpoint.takes_late_slots = 8


def first_sends_dropped(chain: PlainChain) -> None:
    for endpoint in chain.endpoints:
        endpoint.drops_sends = 3


def landed_late(chain: PlainChain) -> None:
    """In the last block that may hold it."""
    for endpoint in chain.endpoints:
        endpoint.takes_late_slots = 147


def answer_lost(chain: PlainChain) -> None:
    for endpoint in chain.endpoints:
        endpoint.loses_answers = 2


def storm_of_429(chain: PlainChain) -> None:
    for endpoint, calls in zip(chain.endpoints, (7, 11), strict=True):
        endpoint.away_calls = calls


def one_lags(chain: PlainChain) -> None:
    chain.endpoints[0].lag_slots = 90


def one_lies(chain: PlainChain) -> None:
    chain.endpoints[0].denies = True


def all_sends_dropped_at_first(chain: PlainChain) -> None:
    """The first attempt expires."""
    for endpoint in chain.endpoints:
        endpoint.drops_sends = 30


def block_vanishes(chain: PlainChain) -> None:
    chain.dies_at_slot = chain.slot + 1


WEATHER = (
    calm,
    delayed,
    first_sends_dropped,
    landed_late,
    answer_lost,
    storm_of_429,
    one_lags,
    one_lies,
    all_sends_dropped_at_first,
    block_vanishes,
)


def a_chain() -> tuple[PlainChain, Intent]:
    chain = PlainChain(endpoints=[Endpoint("a"), Endpoint("b")], slots_per_wait=4)
    chain.wallets[WALLET] = [START_LAMPORTS, 0]
    return chain, buying(chain, WALLET, BUY_LAMPORTS)


def held_against_chain(chain: PlainChain, path: Path, known: IntentRecord) -> None:
    """The books say what the chain says, to the unit, and nothing stays reserved."""
    lamports, units = chain.wallets[WALLET]
    if known.state is IntentState.SETTLED:
        settled = known.settlement
        assert settled is not None
        assert len(chain.swaps) == 1
        spent = settled.in_units + settled.fee_lamports + settled.tip_lamports + settled.rent_lamports
        assert (START_LAMPORTS - spent, settled.out_units) == (lamports, units)
    else:
        assert known.state in {IntentState.FAILED, IntentState.REVERTED}, known
        assert chain.swaps == []
        assert units == 0
    journal = SqlExecutionJournal.at(path, chain.now_ns)
    assert journal.unfinished() == []
    assert journal.reserved(WALLET) == {}
    assert journal.halted() == {}
    journal.close()


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk that forgets at once: what is tested is the order of things, and each run syncs some ten times."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as directory:
        yield Path(directory)


@pytest.fixture
def statements_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reopen the journal with the statements that were compiled before: compiling them is half of a run."""
    keep_statements(monkeypatch)


def boundaries_in(disk: Path, weather: object, name: str) -> list[str]:
    chain, intent = a_chain()
    weather(chain)  # type: ignore[operator]
    knife = Knife()
    assert live_once(disk / f"{name}.db", chain, intent, knife) is not None
    return knife.boundaries


@pytest.mark.parametrize("weather", WEATHER)
def test_a_process_that_dies_anywhere_in_any_weather_swaps_once_or_not_at_all(
    weather: Callable[[PlainChain], None], disk: Path, statements_kept: None
) -> None:
    chances = random.Random(weather.__name__)
    boundaries = boundaries_in(disk, weather, weather.__name__)
    # Each kind of boundary where it is first and last, then any by chance; some with a death in the next life too.
    last_of = {name: at for at, name in enumerate(boundaries)}
    first_of = {name: at for at, name in reversed(list(enumerate(boundaries)))}
    places = sorted({*last_of.values(), *first_of.values()})
    places += [chances.randrange(len(boundaries)) for _ in range(RUNS_EACH - len(places))]
    empty, path = disk / "empty.db", disk / "run.db"
    SqlExecutionJournal.at(empty, lambda: 0).close()
    ends: Counter[str] = Counter()
    for run, place in enumerate(places):
        chain, intent = a_chain()
        weather(chain)
        shutil.copy(empty, path)
        assert live_once(path, chain, intent, Knife(place)) is None, place
        chain.tick(chances.choice((0, 1, 40, 200)))
        if run % 3 == 0:
            live_once(path, chain, intent, Knife(chances.randrange(20)))
        known = finish(path, chain, intent)
        held_against_chain(chain, path, known)
        ends[known.state.value] += 1
    assert sum(ends.values()) == RUNS_EACH
    assert ends["settled"] > RUNS_EACH * 8 // 10, ends


def test_the_cuts_meet_every_step_of_the_machine(disk: Path) -> None:
    met = {name for weather in WEATHER for name in boundaries_in(disk, weather, weather.__name__)}
    steps = ("open", "prepare", "signed", "send", "status", "proof_of_absence", "landed", "transaction", "settled")
    for step in (*steps, "expired", "vanished"):
        assert {f"before {step}", f"after {step}"} <= met, step


def test_a_bot_that_quotes_again_after_a_timeout_is_caught() -> None:
    """The control: what this file checks is broken by the usual way of doing it."""
    chain, intent = a_chain()
    landed_late(chain)
    preparer = PlainPreparer(chain)

    async def bot() -> None:
        attempts = ()
        for _ in range(4):
            known = IntentRecord(intent, IntentState.OPEN, attempts)
            attempt = await preparer.prepare(known)
            attempts = (*attempts, attempt)
            await chain.send(attempt.raw, is_first=True)
            for _ in range(10):
                await chain.wait(attempt.signature, 1)
                if await chain.status(attempt.signature):
                    return

    anyio.run(bot)
    chain.tick(300)
    assert len(chain.swaps) > 1


def test_a_swap_that_nobody_wrote_down_halts_its_wallet(disk: Path) -> None:
    chain, intent = a_chain()
    path = disk / "halt.db"
    chain.deposit(WALLET, 7, payer="friend")
    chain.tick(40)
    assert live_once(path, chain, intent) is not None
    chain.deposit(WALLET, 5, payer="friend")
    chain.tick(40)
    second = buying(chain, WALLET, BUY_LAMPORTS, "two")
    assert live_once(path, chain, second) is not None  # money that came in is no alarm
    chain.deposit(WALLET, -5, payer=WALLET)
    chain.tick(40)
    third = buying(chain, WALLET, BUY_LAMPORTS, "three")
    with pytest.raises(BaseExceptionGroup) as caught:
        live_once(path, chain, third)
    assert "is not one of ours" in str(caught.value.exceptions[0])
    journal = SqlExecutionJournal.at(path, chain.now_ns)
    assert list(journal.halted()) == [WALLET]
    assert [event.kind for event in journal.events()][-1] == "halted"
    journal.release(WALLET, "operator", "it was me, from the phone")
    journal.close()
    assert live_once(path, chain, third) is not None
    assert len(chain.swaps) == 3


def test_a_settlement_that_is_not_what_was_signed_waits_for_a_person(disk: Path) -> None:
    chain, intent = a_chain()
    path = disk / "review.db"

    honest = chain.transaction

    async def dishonest(signature: str) -> object:
        seen = await honest(signature)
        if seen is None:
            return None
        before, after = seen.lamports[WALLET]
        return replace(seen, lamports={**seen.lamports, WALLET: (before, after - 1)})

    chain.transaction = dishonest  # type: ignore[method-assign, assignment]
    known = live_once(path, chain, intent)
    assert known is not None
    assert known.state is IntentState.NEEDS_REVIEW
    assert known.problem == f"it took {BUY_LAMPORTS + 1} of {SOL_MINT} instead of {BUY_LAMPORTS}"
    journal = SqlExecutionJournal.at(path, chain.now_ns)
    assert journal.halted() == {WALLET: known.problem}
    assert journal.reserved(WALLET)[SOL_MINT] >= BUY_LAMPORTS
    journal.close()


def test_a_sale_settles_what_it_brought(disk: Path) -> None:
    chain, intent = a_chain()
    path = disk / "sale.db"
    bought = live_once(path, chain, intent)
    assert bought is not None
    assert bought.settlement is not None
    before = list(chain.wallets[WALLET])
    units = bought.settlement.out_units
    sale = replace(
        buying(chain, WALLET, BUY_LAMPORTS, "sale"),
        in_mint=TOKEN,
        out_mint=SOL_MINT,
        amount_in=units,
        min_out=1,
        is_exit=True,
    )
    sold = live_once(path, chain, sale)
    assert sold is not None
    assert sold.settlement is not None
    assert sold.settlement.in_units == units
    assert chain.wallets[WALLET][0] == before[0] + sold.settlement.out_units - sold.settlement.fee_lamports
