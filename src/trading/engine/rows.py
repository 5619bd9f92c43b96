"""The two rows that are written at every bar, spelled out: the bytes of ``canonical_json`` without the way there."""

from decimal import Decimal

from trading.model.account import TradingState
from trading.model.market_data import Bar, CycleEnd

from .state import DeskState


def bar_row(bar: Bar) -> bytes | None:
    """Return the row of a bar kept by reference; None where its source needs the care of a JSON writer."""
    source = bar.source
    if source.isascii() and source.isprintable() and '"' not in source and "\\" not in source:
        return b'{"bar":"%s"}' % source.encode()
    return None


def end_row(end: CycleEnd) -> bytes:
    return b'{"end":%s}' % _decimal(end.sol_usd)


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
