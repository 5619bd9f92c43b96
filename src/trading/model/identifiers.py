"""Identifiers that are pure functions of their inputs, so that a replay names everything the same."""

import hashlib
from functools import lru_cache

ID_HEX_LEN = 24
"""96 bits: two of a billion ids are equal with a chance of about 1e-11."""


def derived_id(prefix: str, *parts: str | int) -> str:
    """Return ``<prefix>_<24 hex digits>`` that depends on the arguments only.

    Parts are length-prefixed: ("ab", "c") and ("a", "bc") differ. Ints and their text are the same part.
    """
    texts = [str(part).encode("utf-8", "surrogatepass") for part in (prefix, *parts)]
    framed = b"".join([b"%d:%b" % (len(text), text) for text in texts])
    return f"{prefix}_{hashlib.sha256(framed).hexdigest()[:ID_HEX_LEN]}"


def order_id(run_id: str, trajectory_id: str, ts_ns: int, ordinal: int) -> str:
    """Name an order; ``ordinal`` counts the orders of one trajectory at one time."""
    return derived_id("ord", run_id, trajectory_id, ts_ns, ordinal)


def forecast_id(trajectory: str, direction: str, ts_s: int) -> str:
    """Name the forecast that a trajectory's opinion makes at this time."""
    return f"fct_{trajectory.removeprefix('trj_')}_{direction}_{ts_s}"


def forecast_trajectory(forecast: str) -> str:
    """Return the trajectory in which a forecast was made."""
    return f"trj_{forecast.removeprefix('fct_').partition('_')[0]}"


@lru_cache(maxsize=64)
def trajectory_id(run_id: str, strategy: str, mint: str, ts_ns: int) -> str:
    """Name the trajectory that starts with this strategy's signal about this token at this time.

    It is asked for several times in one decision.
    """
    return derived_id("trj", run_id, strategy, mint, ts_ns)
