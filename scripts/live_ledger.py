"""A wallet held against the journal of what was swapped with it, to the lamport and the base unit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trading.execution.transactions import token_account, units_of
from trading.execution.verifier import TOKEN_PROGRAMS
from trading.model.intent import SOL_MINT, IntentRecord, IntentState
from trading.ports import Chain

HISTORY_MAX = 10_000


@dataclass(frozen=True)
class Held:
    """What a wallet has: ``lamports`` are its own, ``wrapped`` those in its account of wrapped SOL, ``units`` of the
    token."""

    lamports: int
    wrapped: int
    units: int

    @property
    def sol(self) -> int:
        return self.lamports + self.wrapped


@dataclass(frozen=True)
class Line:
    """One swap as it was booked. ``lamports`` and ``units`` are by how much the wallet's SOL and tokens changed."""

    key: str
    state: str
    signature: str
    lamports: int
    units: int
    fee_lamports: int
    rent_lamports: int
    problem: str


@dataclass(frozen=True)
class Reconciled:
    """``differences`` empty: the wallet is where the journal says, and nothing else happened to it."""

    before: Held
    after: Held
    lines: tuple[Line, ...]
    differences: tuple[str, ...]

    def body(self) -> dict[str, Any]:
        return asdict(self) | {"is_equal": not self.differences}


async def held_now(chain: Chain, wallet: str, mint: str, program: str) -> Held:
    """Return what the wallet has at ``confirmed``. Raises: ChainUnavailable; DataError."""
    places = [wallet, token_account(wallet, SOL_MINT, TOKEN_PROGRAMS[0]), token_account(wallet, mint, program)]
    own, wrapped, token = [(await chain.accounts(places))[place] for place in places]
    return Held(own.lamports if own else 0, units_of(wrapped), units_of(token))


def line_of(known: IntentRecord) -> Line:
    """Return what an intent did to the wallet; nothing, where nothing of it is on chain."""
    intent, settled = known.intent, known.settlement
    if settled is None:
        return Line(intent.key, known.state.value, "", 0, 0, 0, 0, known.problem)
    is_buy = intent.in_mint == SOL_MINT
    swapped = -settled.in_units if is_buy else settled.out_units
    cost = settled.fee_lamports + settled.tip_lamports + settled.rent_lamports
    return Line(
        key=intent.key,
        state=known.state.value,
        signature=settled.signature,
        lamports=swapped - cost,
        units=settled.out_units if is_buy else -settled.in_units,
        fee_lamports=settled.fee_lamports,
        rent_lamports=settled.rent_lamports,
        problem=settled.error or known.problem,
    )


def reconciled(before: Held, after: Held, records: Sequence[IntentRecord], history: Mapping[str, str]) -> Reconciled:
    """Hold both against each other. ``history``: what the chain lists of the wallet since, error by signature."""
    lines = tuple(map(line_of, records))
    found = []
    for name, was, moved, now in (
        ("lamports", before.sol, sum(line.lamports for line in lines), after.sol),
        ("base units", before.units, sum(line.units for line in lines), after.units),
    ):
        if was + moved != now:
            found.append(
                f"{was} {name} before, {moved:+d} by the journal, {now} now: {now - was - moved:+d} unexplained"
            )
    found += _signature_problems(lines, history)
    found += [f"{known.intent.key} is {known.state.value}: {known.problem}" for known in records if not known.is_final]
    return Reconciled(before, after, lines, tuple(found))


def _signature_problems(lines: Iterable[Line], history: Mapping[str, str]) -> list[str]:
    booked = {line.signature: line for line in lines if line.signature}
    found = [
        f"{signature} is booked, and not in the wallet's history" for signature in booked if signature not in history
    ]
    for signature, error in history.items():
        line = booked.get(signature)
        if line is None:
            found.append(f"{signature} is in the wallet's history, and not booked")
        elif bool(error) != (line.state == IntentState.REVERTED.value):
            found.append(f"{signature} is booked as {line.state}; the chain says {error or 'success'}")
    return found


def table(result: Reconciled) -> str:
    """Return it for a person: each signature, the sums, and what does not fit."""
    rows = [
        f"{line.state:<9} {line.lamports:>+15} lamports {line.units:>+18} units  {line.signature or line.problem}"
        for line in result.lines
    ]
    moved, units = sum(line.lamports for line in result.lines), sum(line.units for line in result.lines)
    fees, rent = sum(line.fee_lamports for line in result.lines), sum(line.rent_lamports for line in result.lines)
    sums = [
        f"before    {result.before.sol} lamports, {result.before.units} units",
        f"booked    {moved:+d} lamports (fees {fees}, deposits {rent}), {units:+d} units",
        f"now       {result.after.sol} lamports, {result.after.units} units",
    ]
    said = [f"DIFFERS   {each}" for each in result.differences] or ["equal to the lamport and the base unit"]
    return "\n".join([*rows, "", *sums, "", *said])
