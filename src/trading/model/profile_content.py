"""A profile as text: what the journal keeps of it, what changed from one to another, and which of two is safer."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from trading.errors import DataError

from .account import Level
from .advice import AdviceRules
from .bucket_rules import ROTATION_PREFIX, STILL
from .profile import Profile
from .protection import ProtectionKind
from .recall import RecallRules
from .rug_rules import RugRules
from .units import BPS_ONE

_PROTECTIONS: Final = "limits.protections."
_UNTOLD: Final = frozenset({"name", "title"})
_OFF_AT_ZERO: Final = frozenset(
    {
        "exits.stop_loss_bps",
        "exits.trailing_stop_bps",
        "exits.take_profit_bps",
        "after_gap.gap_s",
        "after_gap.tighten_s",
        "after_gap.exit_losing_s",
        "after_gap.exit_all_s",
    }
)
"""Rules that 0 switches off, so that 0 is the riskiest value."""
_LARGER_IS_SAFER: Final = frozenset(
    {
        "limits.exit_reserve_lamports",
        "limits.reducing_s",
        "limits.cooldown_s",
        "limits.reentry_s",
        "limits.add_step_bps",
        "limits.cvar_level_bps",
        "limits.cvar_horizon_h",
        "limits.cvar_unknown_bps",
        "sizing.trades_min",
        "after_gap.entries_wait_cycles",
        "sizing.correlation_bps",
        "sizing.correlation_unknown_bps",
        "advice.weight_bps_max",
        "advice.unproven_bps",
        "advice.age_s_max",
        "advice.wait_s_max",
    }
)
_SMALLER_IS_SAFER: Final = frozenset(
    {
        *_OFF_AT_ZERO,
        "after_gap.tighten_bps",
        "exits.trailing_arm_bps",
        "sizing.kelly_fraction_bps",
        "sizing.probe_bps",
        "sizing.volatility_target_bps",
        "sizing.drawdown_floor_bps",
        "sizing.base_units_fixed",
    }
)
_LESS_ROTATES_LESS: Final = frozenset({"rotation_cap_bps", "rotation_step_bps", "rotation_horizon_days"})
"""Bounds of rotation that leave less room the smaller they are; of the others the larger leave less."""
_FEWER_IS_SAFER: Final = frozenset({"rugs.powers_allowed"})
_MORE_IS_SAFER: Final = frozenset({"rugs.banned"})


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """One field that differs, named with dots; an empty side means that the field is not there."""

    field: str
    before: str
    after: str


def document_of(profile: Profile) -> dict[str, Any]:
    """Return the profile as plain values, without rules that were added later and say nothing: texts of before there
    were such rules, and what was hashed from them, stay what they were."""
    document = profile.model_dump(mode="json")
    if profile.rugs == RugRules():
        del document["rugs"]
    else:
        document["rugs"] = {name: value for name, value in document["rugs"].items() if value != []}
    if profile.recall == RecallRules():
        del document["recall"]
    if profile.advice == AdviceRules():
        del document["advice"]
    if not profile.buckets.rotates:
        still = STILL.model_dump(mode="json")
        document["buckets"] = {
            name: value
            for name, value in document["buckets"].items()
            if not (name.startswith(ROTATION_PREFIX) and value == still[name])
        }
    for level in Level:
        if profile.limits.exposure_bps_max_of(level) == BPS_ONE:
            del document["limits"][f"{level}_exposure_bps_max"]
    for choice in document["strategies"]:
        if not choice["lineage"]:
            del choice["lineage"]
    return document


def content_of(profile: Profile) -> str:
    """Return the whole profile as canonical JSON; ``profile_of`` gives it back."""
    return json.dumps(document_of(profile), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def profile_of(content: str) -> Profile:
    """Return the profile of such a text. Raises: DataError where this version cannot read it."""
    try:
        return Profile.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        msg = f"the content of a profile cannot be read: {field}: {first['msg']}"
        raise DataError(msg, field=field) from error


def sha256_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def changes(before: Profile, after: Profile) -> tuple[ProfileChange, ...]:
    """Return every field in which two profiles differ, by name."""
    old, new = _flat(before), _flat(after)
    return tuple(
        ProfileChange(field, _text(old.get(field)), _text(new.get(field)))
        for field in sorted(old.keys() | new.keys())
        if old.get(field) != new.get(field)
    )


def riskier(before: Profile, after: Profile) -> tuple[ProfileChange, ...]:
    """Return the changes that may add risk, none where ``after`` is at most as risky as ``before``.

    Every limit, exit rule and size is compared for itself. A strategy may go and have another share of the capital; a
    new one, or one with other parameters or of another lineage, counts as riskier, and so does a field of unknown
    meaning. What orders pay for their transactions (``fees``) is bounded by the limits and compared there. Whose cash
    it is (``buckets``) adds nothing to it; but shares that rotate gather it in fewer hands, so that rotation counts as
    riskier than none, and within it less room as safer than more. Recall may raise a size when it is on,
    and refuses no losses any more when it is off: switching it either way counts as riskier.
    """
    old, new = _flat(before), _flat(after)
    return tuple(each for each in changes(before, after) if not _is_safer(each.field, old, new))


def _is_safer(field: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    section, _, name = field.partition(".")
    if section == "buckets" and name.startswith(ROTATION_PREFIX):
        return _rotates_less(name, old, new)
    if section in ("fees", "buckets"):
        return True
    if field.startswith(_PROTECTIONS):
        return field not in old or (field in new and _covers(old[field], new[field]))
    if section == "strategies":
        weight = f"strategies.{name.partition('.')[0]}.weight_bps"
        return weight not in new or (field == weight and field in old)
    before, after = old[field], new[field]
    if field in _FEWER_IS_SAFER:
        return set(after) <= set(before)
    if field in _MORE_IS_SAFER:
        return set(after) >= set(before)
    if field in _OFF_AT_ZERO and 0 in (before, after):
        return bool(before == 0)
    if field in _LARGER_IS_SAFER or name.endswith("_min"):
        return bool(after >= before)
    if field in _SMALLER_IS_SAFER or name.endswith("_max") or (section == "limits" and "drawdown" in name):
        return bool(after <= before)
    return False


def _rotates_less(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Say whether a change of how shares rotate leaves them less room; where they do not rotate it changes nothing."""
    switch = f"buckets.{ROTATION_PREFIX}"
    if new[switch] == STILL.rotation:
        return True
    if name == ROTATION_PREFIX or old[switch] == STILL.rotation:
        return False
    before, after = old[f"buckets.{name}"], new[f"buckets.{name}"]
    return bool(after <= before if name in _LESS_ROTATES_LESS else after >= before)


def _covers(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Say whether a protection stops entries whenever the other of its kind and scope does, and for as long."""
    kind = ProtectionKind(before["kind"])
    bps_step = after["bps"] - before["bps"]
    is_longer = after["lookback_s"] >= before["lookback_s"]
    if kind is ProtectionKind.LOW_PROFIT_PAIRS:  # a longer window may hold winners that make up for the losses
        is_longer = after["lookback_s"] == before["lookback_s"]
    return bool(
        after["stop_s"] >= before["stop_s"]
        and is_longer
        and after["trades_min"] <= before["trades_min"]
        and (bps_step <= 0 if kind is ProtectionKind.MAX_DRAWDOWN else bps_step >= 0)
    )


def _flat(profile: Profile) -> dict[str, Any]:
    """Return every value under its dotted name; strategies go by their names, protections by kind and scope."""
    document = profile.model_dump(mode="json")
    found: dict[str, Any] = {}
    for choice in document.pop("strategies"):
        name = f"strategies.{choice['name']}"
        found[f"{name}.weight_bps"] = choice["weight_bps"]
        if choice["lineage"]:
            found[f"{name}.lineage"] = choice["lineage"]
        found |= {f"{name}.parameters.{key}": value for key, value in choice["parameters"].items()}
    for rule in document["limits"].pop("protections"):
        name = f"{_PROTECTIONS}{rule['kind']}.{'token' if rule['is_per_token'] else 'all'}"
        number = sum(each == name or each.startswith(f"{name}.") for each in found)
        found[f"{name}.{number + 1}" if number else name] = rule
    for section, values in document.items():
        if section not in _UNTOLD:
            found |= {f"{section}.{key}": value for key, value in values.items()}
    return found


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items() if name not in ("kind", "is_per_token"))
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
