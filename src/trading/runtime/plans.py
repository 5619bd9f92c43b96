"""What a run is made of, kept beside its rows: enough to make it again, with another chain or another engine."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from pydantic import ValidationError

from trading.errors import DataError
from trading.execution.conditions import Conditions
from trading.model.market_data import FeedDescription
from trading.model.profile import Profile
from trading.model.trading_day import UTC

from .assembly import ENGINE_VERSION, RunPlan

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """``scope`` is in every id of the run; ``engine`` is the version that decided it."""

    plan: RunPlan
    scope: str
    engine: int


def plan_text(plan: RunPlan) -> bytes:
    """Return the text to keep. It is no row of the run: paths of this machine are in it."""
    document = {
        "format": _FORMAT,
        "engine": ENGINE_VERSION,
        "scope": plan.scope,
        "mode": plan.mode,
        "feed": {each.name: getattr(plan.feed, each.name) for each in fields(plan.feed)},
        "profile": plan.profile.model_dump(mode="json"),
        "equity_lamports": plan.equity_lamports,
        "target_lamports": plan.target_lamports,
        "seed": plan.seed,
        "conditions": plan.conditions.model_dump(mode="json"),
        "wallet": plan.wallet,
        "zone": plan.zone,
        **({"situations": plan.situations} if plan.situations else {}),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def kept_plan(text: bytes) -> KeptPlan:
    """Return what was kept. Raises: DataError for a text that this version cannot read."""
    try:
        document = json.loads(text)
        if document["format"] != _FORMAT:
            msg = f"format {document['format']}"
            raise ValueError(msg)
        return KeptPlan(_plan_of(document), str(document["scope"]), int(document["engine"]))
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        msg = f"what this run is made of cannot be read: {error}"
        raise DataError(msg, field="run", hint="was it made by a newer version?") from error


def _plan_of(document: Mapping[str, Any]) -> RunPlan:
    feed = dict(document["feed"])
    feed["inputs"] = tuple((str(name), str(digest)) for name, digest in feed["inputs"])
    return RunPlan(
        mode=document["mode"],
        feed=FeedDescription(**feed),
        profile=Profile.model_validate(document["profile"]),
        equity_lamports=document["equity_lamports"],
        target_lamports=document["target_lamports"],
        seed=document["seed"],
        conditions=Conditions.model_validate(document["conditions"]),
        wallet=document.get("wallet", ""),
        zone=document.get("zone", UTC),
        situations=document.get("situations", ""),
    )
