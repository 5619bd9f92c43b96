"""The commands, gathered."""

import typer

from trading.cli import (
    arbitrage,
    backtest,
    calibrate,
    control,
    curve,
    data,
    drift,
    evm,
    evolve,
    export_tax,
    fault_proxy,
    live,
    night,
    node,
    paper,
    profiles,
    promote,
    rehearse,
    report,
    review,
    running,
    sidecar,
    signer,
    trials,
    views,
)

app = typer.Typer(
    name="memmcp-trade",
    help="The Xavier trading desk: runs over recorded data, paper sessions, and the controls of a running daemon.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
backtest.register(app)
paper.register(app)
curve.register(app)
calibrate.register(app)
drift.register(app)
evolve.register(app)
evm.register(app)
arbitrage.register(app)
export_tax.register(app)
control.register(app)
report.register(app)
running.register(app)
views.register(app)
night.register(app)
node.register(app)
review.register(app)
data.register(app)
trials.register(app)
profiles.register(app)
promote.register(app)
sidecar.register(app)
signer.register(app)
rehearse.register(app)
fault_proxy.register(app)
live.register(app)


@app.callback()
def _root() -> None:
    """Say what the program is; each command says the rest."""
