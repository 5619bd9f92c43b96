"""``promote``, ``demote`` and ``lineage``: candidates on their way to the desk, and where they come from."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text
from rich.tree import Tree

from trading.cli.client import Daemon, data_dir_of
from trading.cli.console import EXIT_FAILED, err, listing, out, print_json, reporting
from trading.cli.control import BY_HAND, Key, Reason
from trading.cli.options import (
    EQUITY_DEFAULT,
    PROFILE_DEFAULT,
    DataDir,
    EquitySol,
    JsonFlag,
    Profile,
    lamports_of,
    profiles_dir,
)
from trading.cli.trials import ledger_path
from trading.errors import InvalidInput

if TYPE_CHECKING:
    from trading.adapters.candidate_store import Candidate, CandidateStore

HOLDOUT_DAYS_DEFAULT: Final = 90
PROMOTION_TIMEOUT_S: Final = 660.0
"""To real money the run is replayed first, which the daemon gives ten minutes."""
WHO_DEFAULT: Final = "operator"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("promote")(promote)
    app.command("propose")(propose)
    app.command("demote")(demote)
    app.command("lineage")(lineage)


def promote(
    candidate: Annotated[
        str | None, typer.Argument(metavar="[CANDIDATE]", help="A candidate's id; see lineage.")
    ] = None,
    to: Annotated[str, typer.Option("--to", help="paper or live.")] = "paper",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read the gates and do nothing.")] = False,
    found: Annotated[
        Path | None,
        typer.Option("--from", help="First write down the finalists of the search in this run directory."),
    ] = None,
    reason: Reason = BY_HAND,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Have the running desk trade a candidate that passes the gates. Without one, only --from is done.

    Open positions stay as they are. Exit code 1: a gate was not passed.
    """
    with reporting(as_json=as_json):
        if to not in ("paper", "live"):
            msg = f"to is {to[:20]!r}; expected paper or live"
            raise InvalidInput(msg, field="to")
        if candidate is None and found is None:
            msg = "a candidate's id is needed, or --from with the run directory of a search"
            raise InvalidInput(msg, field="candidate", hint="memmcp-trade lineage lists candidates")
        proposed = [] if found is None else _proposed(found, data_dir)
        wish = {"action": "promote", "candidate": candidate, "stage": to, "dry_run": dry_run, "reason": reason}
        daemon = None if candidate is None else Daemon.find(data_dir, PROMOTION_TIMEOUT_S)
        answer = None if daemon is None else daemon.post("/promotions", wish, key)
    if as_json:
        print_json({"proposed": [_document(each) for each in proposed], **(answer or {})})
    else:
        if proposed:
            out().print(_table(proposed))
        if answer is not None:
            _show(answer)
    if answer is not None and answer["status"] == "denied":
        raise typer.Exit(EXIT_FAILED)


def propose(
    strategy: Annotated[str, typer.Argument(metavar="STRATEGY", help="Whose parameters they are.")],
    data: Annotated[list[Path], typer.Option("--data", help="A file of bars, or a folder; repeat it for each.")],
    parameters: Annotated[
        list[str] | None, typer.Option("--parameters", help="NAME=VALUE; repeat it. Others keep their defaults.")
    ] = None,
    profile: Profile = PROFILE_DEFAULT,
    equity_sol: EquitySol = EQUITY_DEFAULT,
    holdout_days: Annotated[
        int, typer.Option("--holdout-days", min=0, help="The last days, kept back to judge by.")
    ] = HOLDOUT_DAYS_DEFAULT,
    parent: Annotated[str, typer.Option("--parent", help="The candidate that they were bred from.")] = "",
    who: Annotated[str, typer.Option("--who", help="Who proposes them; an agent says agent:NAME.")] = WHO_DEFAULT,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a set of parameters on recorded bars and write it down as a candidate. Both runs count as trials."""
    with reporting(as_json=as_json):
        from trading.adapters.profile_files import find_profile
        from trading.adapters.trial_ledger import TrialLedger
        from trading.evolution.evidence import HandMade, propose_by_hand
        from trading.feeds.replay import open_replay
        from trading.model.profile import BACKTEST_PROFILES
        from trading.strategies.registry import strategy_class

        strategy_class(strategy)
        rules = find_profile(profile, profiles_dir(data_dir), BACKTEST_PROFILES)
        lamports = lamports_of("equity_sol", equity_sol)
        values = _values(parameters or ())
        with err().status("running it"), _store(data_dir) as store:
            ledger = TrialLedger.at(ledger_path(data_dir))
            try:
                wish = HandMade(strategy, values, open_replay(data), rules, lamports, holdout_days, who, parent)
                made = propose_by_hand(store, ledger, wish, time.time_ns())
            finally:
                ledger.close()
    if as_json:
        print_json(_document(made))
    else:
        out().print(_table([made]))


def demote(
    strategy: Annotated[str, typer.Argument(metavar="STRATEGY", help="Which one is to enter nothing any more.")],
    reason: Reason = BY_HAND,
    key: Key = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Take a promotion back: the strategy enters nothing. Open positions stay and are managed by their exit rules."""
    with reporting(as_json=as_json):
        wish = {"action": "demote", "strategy": strategy, "reason": reason}
        answer = Daemon.find(data_dir).post("/promotions", wish, key)
    if as_json:
        print_json(answer)
    else:
        _show(answer)
    if answer["status"] == "denied":
        raise typer.Exit(EXIT_FAILED)


def lineage(
    which: Annotated[
        str | None, typer.Argument(metavar="[CANDIDATE|STRATEGY]", help="One candidate, or those of one strategy.")
    ] = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Show candidates as a tree: who was bred from whom, by what search, what the gates read, each step.

    Exit code 1 if the store was altered.
    """
    with reporting(as_json=as_json), _store(data_dir) as store:
        found = store.candidates()
        if which is not None:
            named = [each for each in found if which in (each.id, each.proposal.strategy)]
            if not named:
                msg = f"{which[:80]!r} is no candidate and no strategy that has one"
                raise InvalidInput(msg, field="candidate", hint="without a name all are shown")
            found = _with_kin(found, named) if named[0].id == which else named
        altered = store.verify()
    if as_json:
        print_json({"candidates": [_document(each) for each in found], "altered": altered})
    else:
        out().print(_tree(found))
        if altered is not None:
            out().print(Text(f"the store was altered: row {altered} is not what was written down", "bold red"))
    if altered is not None:
        raise typer.Exit(EXIT_FAILED)


@contextmanager
def _store(data_dir: Path | None) -> "Iterator[CandidateStore]":
    from trading.adapters.candidate_store import STORE_NAME, CandidateStore

    store = CandidateStore.at(data_dir_of(data_dir) / STORE_NAME)
    try:
        yield store
    finally:
        store.close()


def _proposed(run_dir: Path, data_dir: Path | None) -> "list[Candidate]":
    from trading.evolution.evidence import propose_found
    from trading.evolution.found import load

    with _store(data_dir) as store:
        return propose_found(store, load(run_dir), "search", time.time_ns())


def _values(given: Sequence[str]) -> dict[str, int | float]:
    from trading.model.promotion import number_of

    found: dict[str, int | float] = {}
    for each in given:
        name, equals, text = each.partition("=")
        try:
            found[name.strip()] = number_of(text.strip())
        except ValueError as error:
            msg = f"parameters: {each[:80]!r} is not NAME=VALUE with a number"
            raise InvalidInput(msg, field="parameters") from error
        if not equals or not name.strip():
            msg = f"parameters: {each[:80]!r} is not NAME=VALUE with a number"
            raise InvalidInput(msg, field="parameters")
    return found


def _with_kin(all_of: "Sequence[Candidate]", named: "Sequence[Candidate]") -> "list[Candidate]":
    """Return a candidate with its ancestors and descendants, oldest first."""
    by_id = {each.id: each for each in all_of}
    kin = {each.id for each in named}
    parent = named[0].proposal.parent
    while parent in by_id and parent not in kin:
        kin.add(parent)
        parent = by_id[parent].proposal.parent
    below = {named[0].id}
    for each in all_of:  # a parent is always older than its children
        if each.proposal.parent in below:
            below.add(each.id)
    return [each for each in all_of if each.id in kin | below]


def _tree(found: "Sequence[Candidate]") -> Tree:
    root = Tree("Candidates" if found else "No candidate was proposed yet")
    places: dict[str, Tree] = {}
    for each in found:
        proposal = each.proposal
        above = places.get(proposal.parent, root)
        search = f", search {proposal.search_id} (seed {proposal.seed})" if proposal.search_id else ""
        figures = ", ".join(f"{name} {value:g}" for name, value in proposal.parameters.items())
        place = above.add(Text.assemble((each.id, "bold"), f" {proposal.strategy}: {each.stage.value}"))
        place.add(Text(figures or "the defaults"))
        data = ", ".join(sha256[:12] for sha256 in proposal.data)
        place.add(Text(f"by {proposal.who}{search}, {_when(proposal.at_ns)}, on data {data}", style="dim"))
        for report in each.reports:
            verdict = "passed" if report.passed else "not passed"
            place.add(Text(f"gates to {report.stage.value}, {_when(report.at_ns)}: {verdict}"))
        for step in each.steps:
            place.add(Text(f"{step.before.value} -> {step.stage.value} ({step.money} money): {step.reason}"))
        places[each.id] = place
    return root


def _when(at_ns: int) -> str:
    from trading.runtime.documents import iso

    return iso(at_ns)


def _table(made: "Sequence[Candidate]") -> Any:
    rows = [
        (
            each.id,
            each.proposal.strategy,
            each.stage.value,
            str(each.proposal.evidence.selection.days),
            str(each.proposal.evidence.selection.trades),
            str(0 if each.proposal.evidence.holdout is None else each.proposal.evidence.holdout.days),
            ", ".join(f"{name} {value:g}" for name, value in each.proposal.parameters.items()),
        )
        for each in made
    ]
    columns = ("candidate", "strategy", "stage", "days", "trades", "held back", "parameters")
    return listing("Proposed", columns, rows)


def _document(each: "Candidate") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "id": each.id,
        "stage": each.stage.value,
        **asdict(each.proposal),
        "reports": [asdict(report) | {"passed": report.passed} for report in each.reports],
        "steps": [asdict(step) for step in each.steps],
    }


def _show(answer: dict[str, Any]) -> None:
    console = out()
    is_good = answer["status"] != "denied"
    name = answer.get("candidate") or answer.get("strategy") or "promotion"
    console.print(Text.assemble((f"{name}: ", "bold"), (answer["status"], "green" if is_good else "bold red")))
    console.print(Text(answer["effect"]))
    rows = [
        (
            gate["name"],
            f"{gate['value']} {gate['unit']}",
            f"{'at least' if gate['is_floor'] else 'at most'} {gate['bound']}",
            str(gate["sample"]),
            "passed" if gate["passed"] else "FAILED",
            gate["note"],
        )
        for gate in answer["gates"]
    ]
    if rows:
        console.print(listing("Gates", ("gate", "read", "asked", "of", "verdict", "note"), rows))
    console.print(Text(f"state {answer['state']} (money: {answer['money']}, feed: {answer['feed']['kind']})"))
