"""Cash between buckets towards wished shares: which moves, and no more than the cash that is free."""

from collections.abc import Mapping
from dataclasses import dataclass

from trading.model.units import BPS_ONE


@dataclass(frozen=True, slots=True)
class Transfer:
    from_bucket: str
    to_bucket: str
    lamports: int


def wanted_lamports(total_lamports: int, weights_bps: Mapping[str, int]) -> dict[str, int]:
    """Return each bucket's share of the total, rounded down."""
    return {name: total_lamports * weight // BPS_ONE for name, weight in weights_bps.items()}


def is_beyond(capital: Mapping[str, int], wanted: Mapping[str, int], band_bps: int) -> bool:
    """Tell whether a bucket is further from what is wanted than that share of all capital."""
    total = sum(capital.values())
    return any(abs(capital.get(name, 0) - share) * BPS_ONE > total * band_bps for name, share in wanted.items())


def transfers(capital: Mapping[str, int], free: Mapping[str, int], wanted: Mapping[str, int]) -> tuple[Transfer, ...]:
    """Return moves from buckets that have more than is wanted of them to those that have less, the largest first.

    ``capital`` is what each bucket is worth, ``free`` the part of it that is cash and promised to no order. A bucket
    that ``wanted`` does not name wants nothing. None gives so much that it lacks, and none gets more than it lacks.
    """
    spare = {name: max(0, min(worth - wanted.get(name, 0), free.get(name, 0))) for name, worth in capital.items()}
    lacking = {name: max(0, share - capital.get(name, 0)) for name, share in wanted.items()}
    found: list[Transfer] = []
    for target in sorted(lacking, key=lambda name: (-lacking[name], name)):
        for source in sorted(spare, key=lambda name: (-spare[name], name)):
            lamports = min(lacking[target], spare[source])
            if lamports > 0 and source != target:
                spare[source] -= lamports
                lacking[target] -= lamports
                found.append(Transfer(source, target, lamports))
    return tuple(found)
