"""``rehearse``: a chain and a router on this machine, to try live trading on without money."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import typer
from rich.text import Text

from trading.cli.console import figures, out, print_json, reporting
from trading.cli.files import require_folder
from trading.cli.options import DataDir, JsonFlag, lamports_of
from trading.errors import InvalidInput

TOKENS_DEFAULT: Final = "FROG,BIRD,MOON"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rehearse")(rehearse)


def rehearse(
    wallet: Annotated[
        list[str] | None, typer.Option("--wallet", help="Public key of a wallet that gets SOL; may be repeated.")
    ] = None,
    sol: Annotated[str, typer.Option("--sol", help="How much SOL each wallet gets.")] = "10",
    tokens: Annotated[
        str | None, typer.Option("--tokens", help=f"Symbols that get a pool against SOL (default: {TOKENS_DEFAULT}).")
    ] = None,
    feed: Annotated[
        str | None,
        typer.Option(
            "--feed",
            help="synthetic[:SEED]: pools for that market's tokens, moved along with the daemon of --data-dir.",
        ),
    ] = None,
    pool_sol: Annotated[str, typer.Option("--pool-sol", help="SOL in each pool.")] = "1000",
    port: Annotated[int, typer.Option("--port", help="Port of the chain; 0 for a free one.", min=0, max=65_535)] = 8899,
    jupiter_port: Annotated[
        int, typer.Option("--jupiter-port", help="Port of the router; 0 for a free one.", min=0, max=65_535)
    ] = 8898,
    slot_ms: Annotated[int, typer.Option("--slot-ms", help="Milliseconds a slot.", min=5, max=60_000)] = 400,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="File that the chain is kept in and goes on from (default: none).")
    ] = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a rehearsal chain with pools and a local Jupiter until Ctrl-C; print the settings to trade there with.

    Both listen on this machine only. Without --keep the next rehearsal begins anew, with the same addresses.
    """
    with reporting(as_json=as_json):
        from trading.rehearsal.stage import StagePlan

        seed = None if feed is None else _seed(feed)
        if seed is not None and tokens is not None:
            raise InvalidInput("a market has its own tokens", field="tokens", hint="give --feed or --tokens")
        symbols = _symbols(tokens, seed)
        if not symbols:
            raise InvalidInput("a rehearsal needs at least one token", field="tokens")
        plan = StagePlan(
            tokens=symbols,
            wallets=tuple(map(_key, wallet or [])),
            wallet_lamports=lamports_of("sol", sol),
            pool_lamports=lamports_of("pool_sol", pool_sol),
            slot_ms=slot_ms,
            chain_port=port,
            jupiter_port=jupiter_port,
            kept=keep.expanduser().absolute() if keep else None,
        )
        require_folder(plan.kept, "keep")
        try:
            anyio.run(_run, plan, Follow(seed, data_dir), as_json)
        except (OSError, BaseExceptionGroup) as error:
            # Of the second server it comes out of the task group of the first.
            found = error if isinstance(error, OSError) else error.subgroup(OSError)
            if found is None:
                raise
            msg = "a port is taken, or may not be used"
            raise InvalidInput(msg, field="port", hint="give others with --port and --jupiter-port") from error
        except KeyboardInterrupt:
            return


@dataclass(frozen=True, slots=True)
class Follow:
    """Which generated market the pools go along with, and whose; ``seed`` None for none."""

    seed: int | None
    data_dir: Path | None


async def _run(plan: Any, followed: Follow, as_json: bool) -> None:
    from trading.rehearsal.stage import staging

    async with staging(plan) as stage:
        settings = stage.settings()
        if len(plan.wallets) == 1:
            settings["TRADING_LIVE__WALLET"] = str(plan.wallets[0])
        if followed.seed is not None:
            settings["TRADING_LIVE__MINTS"] = json.dumps({f"sim:{name}": mint for name, mint in stage.mints.items()})
        document = {
            "genesis_hash": stage.rehearsal.cluster.genesis_hash,
            "endpoints": [stage.rehearsal.url(name) for name in stage.rehearsal.endpoints],
            "control": stage.rehearsal.control_url,
            "jupiter": stage.jupiter.url,
            "tokens": stage.mints,
            "wallets": [str(each) for each in plan.wallets],
            "settings": settings,
        }
        if as_json:
            print_json(document)
        else:
            console = out()
            rows = [("genesis hash", str(document["genesis_hash"])), *stage.mints.items()]
            console.print(figures("Rehearsal: no money, until Ctrl-C", rows))
            for name, value in settings.items():
                console.print(Text(f"export {name}={shlex.quote(value)}"), soft_wrap=True)
        sys.stdout.flush()  # whoever started it by a pipe waits for these lines
        await along(stage, followed)


async def along(stage: Any, followed: Follow) -> None:
    """Keep the pools where the followed market stands, for ever."""
    from trading.cli.rehearse_follow import MarketFollower, follow

    if followed.seed is None:
        await anyio.sleep_forever()
        return

    def move(symbol: str, lamports: int, units: int) -> None:
        if symbol in stage.pools:  # what is launched later has no pool here
            stage.stand(symbol, lamports, units)

    await follow(followed.data_dir, MarketFollower(followed.seed, move))


def _seed(feed: str) -> int:
    from trading.feeds.select import parse_feed

    spec = parse_feed(feed)
    if spec.kind != "synthetic":
        raise InvalidInput(f"feed is {feed!r}; a rehearsal follows synthetic[:SEED] only", field="feed")
    return spec.seed


def _symbols(tokens: str | None, seed: int | None) -> tuple[str, ...]:
    from trading.cli.rehearse_follow import established_tokens

    if seed is not None:
        return tuple(established_tokens(seed))
    return tuple(each for each in (TOKENS_DEFAULT if tokens is None else tokens).split(",") if each)


def _key(text: str) -> Any:
    from solders.pubkey import Pubkey

    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        msg = f"{text!r} is no public key"
        raise InvalidInput(msg, field="wallet") from error
