"""The exposure map: the same money by token, strategy, bucket, tier of its pool and group of what moves together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trading.model.units import BPS_ONE

from .returns import ReturnBook

UNKNOWN: Final = "unknown"
"""The group of all tokens of which too little is known: they are taken to move together."""
CORRELATION_BPS: Final = 7_000
"""From this correlation of hourly returns on two tokens are of one group."""
HOURS_MIN: Final = 48


@dataclass(frozen=True, slots=True)
class Exposed:
    """A part of the exposure that has one answer to every question."""

    mint: str
    strategy: str
    bucket: str
    tier: str
    lamports: int


@dataclass(frozen=True, slots=True)
class ExposureMap:
    """Each of the five adds up to ``total_lamports``. Largest first; names decide a tie."""

    total_lamports: int
    by_token: Mapping[str, int]
    by_strategy: Mapping[str, int]
    by_bucket: Mapping[str, int]
    by_tier: Mapping[str, int]
    by_group: Mapping[str, int]


def exposure_map(parts: Iterable[Exposed], group_of: Mapping[str, str]) -> ExposureMap:
    """Return the parts added up in five ways. ``group_of`` names the group of each token."""
    taken = list(parts)
    return ExposureMap(
        total_lamports=sum(part.lamports for part in taken),
        by_token=_added(taken, lambda part: part.mint),
        by_strategy=_added(taken, lambda part: part.strategy),
        by_bucket=_added(taken, lambda part: part.bucket),
        by_tier=_added(taken, lambda part: part.tier),
        by_group=_added(taken, lambda part: group_of[part.mint]),
    )


def split_exactly(lamports: int, weights: Sequence[int]) -> list[int]:
    """Split a sum by weights so that the parts add up to it, each within a lamport of its share."""
    total, taken, before = sum(weights), 0, 0
    found: list[int] = []
    for weight in weights:
        taken += weight
        upto = lamports * taken // total
        found.append(upto - before)
        before = upto
    return found


def groups(book: ReturnBook, mints: Sequence[str]) -> dict[str, str]:
    """Return the group of each token: all that are tied by correlations of at least ``CORRELATION_BPS``, named by the
    first of them in the order given; tokens with less than ``HOURS_MIN`` hourly returns are one group together."""
    known = [mint for mint in mints if book.hours(mint) >= HOURS_MIN]
    found = {mint: mint if mint in known else UNKNOWN for mint in mints}
    rows = {mint: book.over(mint, 1) for mint in known}
    for number, one in enumerate(known):
        for other in known[:number]:
            if found[one] != found[other] and move_together(rows[one], rows[other]):
                names = (found[one], found[other])
                name = min(names, key=known.index)
                found |= {mint: name for mint, group in found.items() if group in names}
    return found


def move_together(one: Sequence[int], other: Sequence[int]) -> bool:
    """Say whether Pearson's correlation of the newest common returns is high, in whole numbers: no float decides."""
    count = min(len(one), len(other))
    ones, others = one[-count:], other[-count:]
    sum_one, sum_other = sum(ones), sum(others)
    covariance = count * sum([a * b for a, b in zip(ones, others, strict=True)]) - sum_one * sum_other
    if covariance <= 0:
        return False
    variance_one = count * sum([a * a for a in ones]) - sum_one**2
    variance_other = count * sum([b * b for b in others]) - sum_other**2
    return covariance**2 * BPS_ONE**2 >= CORRELATION_BPS**2 * variance_one * variance_other


def _added(parts: Sequence[Exposed], key: Callable[[Exposed], str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts:
        found[key(part)] = found.get(key(part), 0) + part.lamports
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))
