"""From a feed and a profile to a kernel: what backtest and paper have in common."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trading.adapters.canonical import canonical_json
from trading.adapters.profile_files import find_profile
from trading.engine.kernel import Kernel
from trading.engine.run import RunSetup
from trading.execution.conditions import IDEAL, Conditions
from trading.execution.reported_venue import ReportedVenue
from trading.execution.simulated_venue import SimulatedVenue
from trading.model.event_codec import encode_record
from trading.model.market_data import FeedDescription
from trading.model.profile import PROFILES, Profile, StrategyChoice
from trading.model.profile_content import document_of
from trading.model.trading_day import UTC
from trading.model.wallet import WalletTerms
from trading.ports import Journal, Strategy
from trading.strategies.registry import create_all, strategy_class

ENGINE_VERSION = 4
"""Part of every scope: raised when the same inputs may lead to other decisions than before."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is made of before it has a name."""

    mode: str
    feed: FeedDescription
    profile: Profile
    equity_lamports: int
    target_lamports: int
    seed: int = 0
    conditions: Conditions = IDEAL
    wallet: str = ""
    """The public key whose money it is, empty on paper."""
    zone: str = UTC
    """Whose days limits and digests count by."""
    wallets: tuple[WalletTerms, ...] = ()
    """Those of a desk with several, ``main`` first. A run takes them on by a command, so they are no part of its
    identity."""
    situations: str = ""
    """A hash of the situations of earlier runs that it begins with (``situations.digest_of``)."""

    @property
    def is_live(self) -> bool:
        return bool(self.wallet)

    @property
    def scope(self) -> str:
        """A hash of everything that the decisions rest on: equal plans over equal data decide equally."""
        return hashlib.sha256(
            canonical_json(
                {
                    "engine": ENGINE_VERSION,
                    "feed": _identity_of(self.feed),
                    "profile": json.dumps(document_of(self.profile), sort_keys=True),
                    "equity_lamports": self.equity_lamports,
                    "seed": self.seed,
                    **({} if self.zone == UTC else {"zone": self.zone}),
                    **self._conditions_body(),
                    **({"situations": self.situations} if self.situations else {}),
                }
            )
        ).hexdigest()[:24]

    @property
    def identity(self) -> str:
        """What makes a later start go on with the same account: the mode, the feed, the start capital or the wallet,
        and conditions under which its open orders would have another fate."""
        body = {
            "mode": self.mode,
            "feed": _identity_of(self.feed),
            **({"wallet": self.wallet} if self.is_live else {"equity_lamports": self.equity_lamports}),
            **({"seed": self.seed} if self.conditions != IDEAL else {}),
            **self._conditions_body(),
        }
        return hashlib.sha256(canonical_json(body)).hexdigest()[:24]

    def _conditions_body(self) -> dict[str, object]:
        """Nothing for ideal ones, so that runs of before there was a choice keep their names."""
        return {} if self.conditions == IDEAL else {"conditions": self.conditions.model_dump(mode="json")}

    @property
    def by_reference(self) -> bool:
        """Recorded and generated bars can be looked up again; received ones cannot."""
        return bool(self.feed.inputs)


def chosen_profile(
    name: str, strategies: Sequence[str] = (), among: Sequence[Profile] = PROFILES, folder: Path | None = None
) -> Profile:
    """Return the profile (shipped, a file's of the folder, or a named file's), trading these of the known strategies
    only (none given: its own).

    Raises: InvalidInput for an unknown profile or strategy, or a file that does not hold.
    """
    profile = find_profile(name, folder, among)
    if not strategies:
        return profile
    wanted = list(dict.fromkeys(strategies))
    for each in wanted:
        strategy_class(each)
    parameters = {choice.name: choice.parameters for choice in profile.strategies}
    choices = tuple(
        StrategyChoice(name=each, weight_bps=10_000 // len(wanted), parameters=parameters.get(each, {}))
        for each in wanted
    )
    return profile.model_copy(update={"strategies": choices})


def make_kernel(plan: RunPlan, run_id: str, journal: Journal, scope: str | None = None) -> Kernel:
    """Return a kernel that has not begun; ``begin`` it, or ``restore`` what the journal holds.

    ``scope`` takes the place of the plan's own where a run is repeated under another plan, so that ids stay the same.
    """
    setup = RunSetup(
        run_id=run_id,
        scope=plan.scope if scope is None else scope,
        mode=plan.mode,
        feed=plan.feed.detail,
        profile=plan.profile,
        equity_lamports=plan.equity_lamports,
        target_lamports=plan.target_lamports,
        by_reference=plan.by_reference,
        seed=plan.seed,
        conditions="" if plan.conditions == IDEAL else canonical_json(plan.conditions.model_dump(mode="json")).decode(),
        zone=plan.zone,
    )
    venue = ReportedVenue if plan.is_live else SimulatedVenue
    return Kernel(setup, journal, venue(conditions=plan.conditions, seed=plan.seed), make_strategies)


def make_strategies(profile: Profile) -> list[Strategy]:
    return create_all(profile.strategies)


def begin(kernel: Kernel) -> None:
    """Write the header of an empty run: who trades what, with which parameters, on how much."""
    parameters = {
        strategy.name: {name: repr(value) for name, value in strategy.parameters().items()}
        for strategy in kernel.strategies
    }
    kernel.start(canonical_json(parameters).decode())


def _identity_of(feed: FeedDescription) -> dict[str, object]:
    body = encode_record(feed)
    return {"kind": body["kind"], "interval_s": body["interval_s"], "inputs": [list(pair) for pair in feed.inputs]}
