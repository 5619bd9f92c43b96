"""What a person is shown of arming real money, away from the terminal on which it is done.

It reads: the signer's state and the mandate's file. It can end an arming. It cannot begin one, and knows no passphrase.
"""

import shlex
from pathlib import Path
from typing import Any, Final, Protocol

import anyio.to_thread

from trading.errors import SignerUnavailable, TradingError
from trading.signing.files import read_bounded
from trading.signing.mandate import FILE_BYTES_MAX, parse_mandate

from .arming import ArmingWatch
from .documents import Document, iso

MANDATE_NAME: Final = "mandate.toml"
PROGRAM: Final = "memmcp-trade"
_SHOWN: Final = (
    "order_lamports_max",
    "day_lamports_max",
    "fee_lamports_max",
    "fee_day_lamports_max",
    "slippage_bps_max",
    "ramp_trades",
    "ramp_lamports_max",
    "approval_above_lamports",
    "sweep_day_lamports_max",
    "armed_s_max",
    "name",
    "sha256",
    "cold_address",
)


class DisarmingSigner(Protocol):
    async def status(self) -> dict[str, Any]: ...
    async def disarm(self, why: str) -> dict[str, Any]: ...


class ArmingView:
    """``socket``, ``signer_user``: what the settings say of the signer, None where it is the data directory's own."""

    def __init__(self, signer: DisarmingSigner, data_dir: Path, socket: Path | None, signer_user: str | None) -> None:
        self._signer = signer
        self._data_dir = data_dir
        self._place = ["--folder", str(data_dir / "signer")] if socket is None else ["--socket", str(socket)]
        self._user = [] if signer_user is None else ["--signer-user", signer_user]

    async def view(self) -> Document:
        """Return wire.LiveView; a signer that does not answer is part of it."""
        try:
            status = await self._signer.status()
        except SignerUnavailable as error:
            return await self._told({"is_unlocked": False, "armed": None, "why_not": error.message}, is_there=False)
        return await self._told(status)

    async def disarm(self, why: str) -> Document:
        """End the arming, and return wire.LiveView. Raises: SignerUnavailable, with nothing done as far as is known."""
        return await self._told(await self._signer.disarm(why))

    async def _told(self, status: dict[str, Any], *, is_there: bool = True) -> Document:
        armed, day = status["armed"], status.get("day") or {}
        return {
            "is_available": is_there,
            "is_unlocked": status["is_unlocked"],
            "armed": None if armed is None else _armed(armed),
            "why_not": "" if armed is not None else _why(str(status["why_not"]), is_there=is_there),
            "spent_day_lamports": day.get("spent_lamports", 0),
            "fee_day_lamports": day.get("fee_lamports", 0),
            "ramp_left": status.get("ramp_left", 0),
            **await anyio.to_thread.run_sync(self._mandate),
            "arm_commands": self._commands(is_unlocked=status["is_unlocked"], is_there=is_there),
        }

    def _mandate(self) -> Document:
        path = self._data_dir / MANDATE_NAME
        try:
            wanted = parse_mandate(read_bounded(path, FILE_BYTES_MAX))
        except TradingError as error:
            return {"mandate": None, "mandate_problem": error.message}
        shown = {name: getattr(wanted, name) for name in _SHOWN}
        lists = {name: list(getattr(wanted, name)) for name in ("wallets", "mints", "venues")}
        sides = [side.value for side in wanted.sides]
        rest = {"network": wanted.network.value, "sides": sides, "endpoints": len(wanted.endpoints)}
        return {"mandate": {**shown, **lists, **rest, "expires_at": iso(wanted.expires_ns)}, "mandate_problem": ""}

    def _commands(self, *, is_unlocked: bool, is_there: bool) -> list[str]:
        """Return what is typed on a terminal, in turn, from where the signer stands now."""
        data_dir = ["--data-dir", str(self._data_dir)]
        lines = [] if is_there else [["signer", "run", *self._place]]
        if is_there and not is_unlocked:
            lines.append(["signer", "unlock", *self._place, *self._user])
        lines += [["live", word, *data_dir, *self._place, *self._user] for word in ("ready", "arm")]
        return [shlex.join([PROGRAM, *line]) for line in lines]


def _armed(armed: dict[str, Any]) -> Document:
    kept = ("number", "name", "network", "sha256", "order_lamports_max", "day_lamports_max")
    times = {"armed_at": iso(armed["armed_ns"]), "ends_at": iso(armed["ends_ns"])}
    return {name: armed[name] for name in kept} | times


def _why(code: str, *, is_there: bool) -> str:
    return ArmingWatch.said(code) if is_there else code
