"""Looks at everything that arming asks for: endpoints, signer, review queue, a back-up, a paper record."""

import time
from pathlib import Path
from typing import Final

from trading.adapters.canonical import parse_json
from trading.adapters.execution_journal import review_queue
from trading.adapters.sqlite import integrity_problem
from trading.engine.state import RETURN_PERIOD_NS
from trading.errors import ChainUnavailable, InvalidInput, SignerUnavailable, WrongChain
from trading.model.event_codec import decode
from trading.model.mandate import Mandate
from trading.portfolio.account_fold import AccountFold
from trading.signing.chain_view import RpcChainView
from trading.signing.client import SignerSocket
from trading.signing.readiness import BackupSeen, EndpointSeen, PaperSeen, Readiness, ReviewSeen, SignerSeen

from .recorded_runs import EXECUTION_NAME, RecordedRun
from .replaying import ReplaySpec, measure

DATABASES_MAX: Final = 64
_KINDS: Final = ("order_approved", "order_filled", "order_rejected", "position_written_off", "capital_deposited")


async def look(
    mandate: Mandate, socket: SignerSocket, desk: Path, backup: Path | None, paper: RecordedRun | None
) -> Readiness:
    """Return what was found. ``desk`` is the directory of the desk's journals. Raises: InvalidInput (the paper run)."""
    return Readiness(
        now_ns=time.time_ns(),
        mandate=mandate,
        endpoints=tuple([await _endpoint(each) for each in mandate.endpoints]),
        signer=await _signer(socket),
        review=ReviewSeen(*review_queue(desk / EXECUTION_NAME)),
        backup=None if backup is None else backup_seen(backup),
        paper=None if paper is None else paper_seen(paper),
    )


def backup_seen(path: Path) -> BackupSeen:
    """Open every database of a back-up and read it through."""
    found = sorted(path.rglob("*.db"))[:DATABASES_MAX] if path.is_dir() else []
    problems = [f"{each.name}: {problem}" for each in found if (problem := integrity_problem(each))]
    made_ns = max((each.stat().st_mtime_ns for each in found), default=0)
    return BackupSeen(str(path), made_ns, len(found), "; ".join(problems))


def paper_seen(run: RecordedRun) -> PaperSeen:
    """Return a session's trades by strategy, and how far its replay does otherwise. Raises: InvalidInput, DataError."""
    plan = run.plan().plan
    if plan.mode != "paper":
        msg = f"paper: {run.run_id} is a {plan.mode}, not a session on paper"
        raise InvalidInput(msg, field="paper")
    fold = AccountFold(RETURN_PERIOD_NS)
    results: dict[str, list[int]] = {}
    first_ns = last_ns = 0
    for row in run.journal.rows():
        first_ns, last_ns = first_ns or row.ts_ns, row.ts_ns
        if row.kind not in _KINDS:
            continue
        booking = fold.take(decode(row.kind, parse_json(row.body)))
        if booking is not None and booking.closed is not None:
            results.setdefault(booking.closed.strategy, []).append(booking.closed.realised_lamports)
    report = measure(run, ReplaySpec()).report
    return PaperSeen(
        run_id=run.run_id,
        from_ns=first_ns,
        to_ns=last_ns,
        trades=report.run_trades,
        drifting=report.total,
        results={name: tuple(each) for name, each in results.items()},
    )


async def _endpoint(url: str) -> EndpointSeen:
    async with RpcChainView([url]) as view:
        try:
            genesis_hash = await view.genesis_hash()
            return EndpointSeen(url, genesis_hash, (await view.heights()).confirmed)
        except (ChainUnavailable, WrongChain) as error:
            return EndpointSeen(url, "", 0, error.message)


async def _signer(socket: SignerSocket) -> SignerSeen:
    try:
        status = await socket.ask("status")
    except SignerUnavailable as error:
        return SignerSeen(False, (), error.message)
    wallets = tuple(each["address"] for each in status["wallets"])
    return SignerSeen(bool(status["is_unlocked"]), wallets)
