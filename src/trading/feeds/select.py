"""What a feed argument means: ``auto``, ``market``, ``synthetic[:SEED]`` or ``replay:PATH[,PATH...]``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from trading.errors import InvalidInput
from trading.feeds.replay import open_replay
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.ports import Feed

FeedKind = Literal["auto", "market", "synthetic", "replay"]
ALLOWED: Final = "auto, market, synthetic[:SEED] or replay:PATH[,PATH...]"
SEED_DEFAULT: Final = 20_240_501
SEED_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """A parsed feed argument. ``paths`` only for replay, ``seed`` only for synthetic (and for auto's last resort)."""

    kind: FeedKind
    paths: tuple[Path, ...] = ()
    seed: int = SEED_DEFAULT


def parse_feed(text: str) -> FeedSpec:
    """Return what a feed argument asks for. Raises InvalidInput naming ``feed`` and what is allowed."""
    kind, colon, rest = text.strip().partition(":")
    if kind in ("auto", "market") and not colon:
        return FeedSpec("auto" if kind == "auto" else "market")
    if kind == "synthetic" and not colon:
        return FeedSpec("synthetic")
    if kind == "synthetic" and rest.isascii() and rest.isdecimal() and len(rest) <= 19 and int(rest) <= SEED_MAX:
        return FeedSpec("synthetic", seed=int(rest))
    if kind == "replay" and any(part.strip() for part in rest.split(",")):
        return FeedSpec("replay", tuple(Path(part.strip()).expanduser() for part in rest.split(",") if part.strip()))
    msg = f"feed is {text[:200]!r}; allowed: {ALLOWED}"
    raise InvalidInput(msg, field="feed")


def open_feed(
    spec: FeedSpec, *, recorded: Sequence[Path] = (), from_ns: int | None = None, to_ns: int | None = None
) -> Feed:
    """Open what needs no network: replay, synthetic, and for ``auto`` the recorded files given, else synthetic.

    Raises: InvalidInput (``market`` comes from ``adapters.live_feed``), DataError.
    """
    if spec.kind == "market":
        msg = "feed market needs the network; a run over recorded or generated data takes replay or synthetic"
        raise InvalidInput(msg, field="feed")
    paths = spec.paths or (tuple(recorded) if spec.kind == "auto" else ())
    if paths:
        return open_replay(paths, from_ns=from_ns, to_ns=to_ns)
    return SyntheticFeed(SyntheticMarket(seed=spec.seed))


def reopen(origin: str) -> Feed:
    """Open the feed whose description had this ``origin``.

    Raises: InvalidInput for an origin that opens nothing, DataError for files that are gone or damaged.
    """
    try:
        named = json.loads(origin)
        if named["kind"] == "synthetic":
            return SyntheticFeed(SyntheticMarket(**named["market"]))
        paths = [Path(path) for path in named["paths"]]
        from_ns, to_ns = named["from_ns"], named["to_ns"]
    except (ValueError, TypeError, KeyError) as error:
        msg = f"feed: {origin[:200]!r} opens no feed"
        raise InvalidInput(msg, field="feed", hint="name the bars with --data") from error
    return open_replay(paths, from_ns=from_ns, to_ns=to_ns)
