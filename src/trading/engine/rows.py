"""The row that is written most often, spelled out: the bytes of ``canonical_json`` without the way there."""

from decimal import Decimal

from trading.model.account import TradingState

from .state import DeskState


def mark_row(state: DeskState, cycle: int, equity_lamports: int, cash_lamports: int, exposure_lamports: int) -> bytes:
    """Return the row of a CycleMarked."""
    return (
        f'{{"cash_lamports":{cash_lamports},"cycle":{cycle},"drawdown_bps":{state.curve.drawdown_bps},'
        f'"equity_lamports":{equity_lamports},"exposure_lamports":{exposure_lamports},"sol_usd":'
    ).encode() + b'%s,"state":"%s","ts_ns":%d}' % (
        _decimal(state.sol_usd),
        _STATE_BYTES[state.trading_state],
        state.now_ns,
    )


def _decimal(value: Decimal | None) -> bytes:
    return b"null" if value is None else b'"%s"' % str(value).encode()


_STATE_BYTES = {state: state.value.encode() for state in TradingState}
