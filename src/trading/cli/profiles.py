"""``profiles``: what the desk may trade under: the shipped sets of limits, and the operator's own files."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from trading.cli.console import figures, listing, out, print_json, reporting
from trading.cli.options import DataDir, JsonFlag, profiles_dir
from trading.model.profile import BACKTEST_PROFILES, PROFILES, Profile
from trading.model.profile_content import changes, content_of, riskier, sha256_of

_TITLE_LEN = 60


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="The profiles that a desk may trade under.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("check")(check)
    app.add_typer(group, name="profiles")


def list_(data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """List the shipped profiles and those of the files in the folder profiles of the data directory."""
    with reporting(as_json=as_json):
        from trading.adapters.profile_files import named_profile, own_names

        folder = profiles_dir(data_dir)
        found = [(profile, "shipped") for profile in PROFILES]
        found += [(named_profile(name, folder), str(folder / f"{name}.toml")) for name in own_names(folder)]
    if as_json:
        print_json({"folder": str(folder), "profiles": [_summary(profile, origin) for profile, origin in found]})
        return
    rows = [(profile.name, origin, profile.title[:_TITLE_LEN], _strategies(profile)) for profile, origin in found]
    out().print(listing("Profiles", ("name", "from", "title", "strategies"), rows))


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A profile's name, or a TOML file.")],
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Show every field of a profile."""
    with reporting(as_json=as_json):
        from trading.adapters.profile_files import find_profile

        profile = find_profile(name, profiles_dir(data_dir), BACKTEST_PROFILES)
    document = profile.model_dump(mode="json")
    if as_json:
        print_json(document | {"sha256": sha256_of(content_of(profile))})
        return
    console = out()
    console.print(Text(f"{profile.name}: {profile.title}"))
    document["limits"].pop("protections")
    for section, values in document.items():
        if isinstance(values, dict):
            console.print(figures(section, [(field, _figure(value)) for field, value in values.items()]))
    rules = [
        (
            each.kind.value,
            "the token" if each.is_per_token else "all",
            f"{each.stop_s:,}",
            f"{each.lookback_s:,}",
            f"{each.trades_min:,}",
            f"{each.bps:,}",
        )
        for each in profile.limits.protections
    ]
    heads = ("protection", "stops entries of", "stop s", "lookback s", "trades min", "bps")
    console.print(listing("protections", heads, rules))
    rows = [
        (each.name, f"{each.weight_bps:,}", ", ".join(f"{key} {value}" for key, value in each.parameters.items()))
        for each in profile.strategies
    ]
    console.print(listing("strategies", ("name", "weight bps", "parameters that differ"), rows))


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file.")], as_json: JsonFlag = False
) -> None:
    """Say whether a file is a profile, what it changes of each shipped one, and where it may risk more."""
    with reporting(as_json=as_json):
        from trading.adapters.profile_files import read_profile

        profile = read_profile(file)
    against = [_compared(shipped, profile) for shipped in PROFILES]
    if as_json:
        print_json(_summary(profile, str(file)) | {"against": against})
        return
    console = out()
    console.print(Text.assemble(("ok ", "green"), f"{file} is the profile {profile.name}"))
    rows = [
        (each["profile"], str(len(each["changes"])), ", ".join(row["field"] for row in each["riskier"]) or "nothing")
        for each in against
    ]
    console.print(listing("Against", ("profile", "changes", "may risk more by"), rows))


def _compared(shipped: Profile, profile: Profile) -> dict[str, Any]:
    def rows(found: Any) -> list[dict[str, str]]:
        return [{"field": each.field, "before": each.before, "after": each.after} for each in found]

    return {
        "profile": shipped.name,
        "changes": rows(changes(shipped, profile)),
        "riskier": rows(riskier(shipped, profile)),
    }


def _summary(profile: Profile, origin: str) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "from": origin,
        "sha256": sha256_of(content_of(profile)),
        "strategies": {each.name: each.weight_bps for each in profile.strategies},
    }


def _figure(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else f"{value:,}"


def _strategies(profile: Profile) -> str:
    return ", ".join(f"{each.name} {each.weight_bps / 100:g} %" for each in profile.strategies)
