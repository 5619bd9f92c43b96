"""The commands, gathered."""

from typing import Annotated

import typer

from memmcp_server import __version__

from . import (
    alerts,
    approval,
    archive,
    clients,
    daemon,
    doctor,
    evaluation,
    forgetting,
    importing,
    index,
    lifecycle,
    login,
    logs,
    memory,
    migrate,
    news,
    outbox,
    overview,
    phone,
    service,
    task,
    token,
    top,
    why,
)

app = typer.Typer(
    name="memmcp",
    help="One shared memory and one trading desk for all of a person's agents.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """One shared memory and one trading desk for all of a person's agents."""


for _commands in (
    daemon,
    logs,
    memory,
    overview,
    login,
    lifecycle,
    forgetting,
    news,
    archive,
    importing,
    evaluation,
    approval,
    top,
    why,
    clients,
    doctor,
):
    _commands.register(app)
app.add_typer(alerts.app, name="alerts")
app.add_typer(outbox.app, name="outbox")
app.add_typer(index.app, name="index")
app.add_typer(migrate.app, name="migrate")
app.add_typer(phone.app, name="phone")
app.add_typer(task.app, name="task")
app.add_typer(token.app, name="token")
app.add_typer(service.app, name="service")
