"""Another profile while the desk runs: by its operator, by an agent that may only calm it, and across restarts."""

from pathlib import Path

import pytest
from tests.doubles.desk_memory import ListMemory
from tests.doubles.scripted_market import ManualFeed
from tests.unit.trading.desk.test_paper_desk import MINT, SECTIONS, Market

from trading.adapters.canonical import parse_json
from trading.adapters.live_feed_choice import Chosen
from trading.adapters.profile_files import read_profile
from trading.adapters.sql_journal import JournalStore
from trading.errors import InvalidInput
from trading.model.profile_content import content_of, sha256_of
from trading.ports import Memory
from trading.runtime.paper_run import PaperOptions, paper_desk

pytestmark = pytest.mark.anyio

OWN = 'extends = "cautious"\n[limits]\norder_bps_max = 900\n'


class Away:
    """A desk that can be closed and opened again on a market that goes on meanwhile."""

    def __init__(self, folder: Path, memory: Memory | None = None) -> None:
        self.folder = folder
        self.profiles = folder / "profiles"
        self.profiles.mkdir(exist_ok=True)
        self.memory = memory or ListMemory()
        self._number = 0

    def desk(self, profile: str = "foundation"):  # type: ignore[no-untyped-def]
        feed = ManualFeed(MINT, "AAA", "0.001")
        feed._number = self._number
        options = PaperOptions(self.folder, "market", profile, profiles_dir=self.profiles)
        self._number += 20
        return _Opened(feed, paper_desk(options, SECTIONS, self.memory, Chosen(feed, "by hand")))

    def rows(self, kind: str) -> list[dict[str, object]]:
        store = JournalStore.at(self.folder / "journal.db")
        try:
            return [parse_json(row.body) for row in store.open_run(1).rows(kinds=(kind,))]
        finally:
            store.close()


class _Opened:
    def __init__(self, feed: ManualFeed, desk) -> None:  # type: ignore[no-untyped-def]
        self._feed, self._desk = feed, desk

    async def __aenter__(self) -> Market:
        return Market(await self._desk.__aenter__(), self._feed)

    async def __aexit__(self, *raised: object) -> None:
        await self._desk.__aexit__(*raised)


async def switched(here: Market, name: str, actor: str = "operator:o", key: str = "k") -> dict[str, object]:
    wish = {"action": "profile", "profile": name, "reason": "the weather turns"}
    return await here.desk.control(wish, actor=actor, key=key)


@pytest.mark.requirement("T2")
async def test_a_switch_while_the_desk_runs_is_in_the_journal_whole_and_in_memory_field_by_field(
    tmp_path: Path,
) -> None:
    memory = ListMemory()
    away = Away(tmp_path, memory)
    (away.profiles / "calm.toml").write_text(OWN)
    wanted = read_profile(away.profiles / "calm.toml")
    async with away.desk() as here:
        await here.move()
        answer = await switched(here, "calm")
        assert answer["status"] == "done"
        assert str(answer["effect"]).startswith("From foundation to calm, ")
        assert (await here.move()).profile == "calm"
        assert (await switched(here, "calm", key="again"))["effect"] == (
            "The desk trades under calm already; nothing has changed."
        )
    [row] = away.rows("profile_switched")
    assert (row["before"], row["after"], row["content"]) == ("foundation", "calm", content_of(wanted))
    assert row["sha256"] == sha256_of(content_of(wanted))
    [note] = [each for each in memory.records if each.kind == "profile"]
    assert note.metadata["sha256"] == row["sha256"]
    assert {"field": "limits.order_bps_max", "before": "2000", "after": "900"} in note.metadata["changes"]
    assert note.text.startswith("Profile foundation was switched to calm: the weather turns. Changed: after_gap.")


@pytest.mark.requirement("T2")
async def test_an_agent_may_switch_to_a_safer_profile_and_to_no_other(tmp_path: Path) -> None:
    away = Away(tmp_path)
    async with away.desk() as here:
        await here.move()
        refused = await switched(here, "aggressive", actor="agent:a")
        assert refused["status"] == "denied"
        assert "which is the operator's to decide: after_gap." in str(refused["effect"])
        assert (await here.move()).profile == "foundation"
        assert (await switched(here, "cautious", actor="agent:a", key="k2"))["status"] == "done"
        back = await switched(here, "foundation", actor="agent:a", key="k3")
        assert back["status"] == "denied"
        assert (await here.move()).profile == "cautious"
        assert (await switched(here, "foundation", key="k4"))["status"] == "done"
    assert [(row["before"], row["after"]) for row in away.rows("profile_switched")] == [
        ("foundation", "cautious"),
        ("cautious", "foundation"),
    ]


@pytest.mark.requirement("T2")
async def test_a_switch_outlives_the_desk_and_needs_no_file_any_more(tmp_path: Path) -> None:
    away = Away(tmp_path)
    own = away.profiles / "calm.toml"
    own.write_text(OWN)
    async with away.desk() as here:
        await here.move()
        await switched(here, "calm")
        await here.move()
    own.unlink()
    async with away.desk() as here:
        assert (await here.move()).profile == "calm"
    async with away.desk("cautious") as here:
        assert (await here.move()).profile == "cautious"
    async with away.desk("cautious") as here:
        assert (await here.move()).profile == "cautious"
    assert [row["after"] for row in away.rows("profile_switched")] == ["calm", "cautious"]


async def test_a_desk_that_began_under_a_file_goes_on_after_the_file_was_changed(tmp_path: Path) -> None:
    away = Away(tmp_path)
    own = away.profiles / "calm.toml"
    own.write_text(OWN)
    async with away.desk("calm") as here:
        await here.move()
    own.write_text(OWN.replace("900", "800"))
    async with away.desk("calm") as here:
        assert (await here.move()).profile == "calm"
    [row] = away.rows("profile_switched")
    assert row["changes"] == [{"field": "limits.order_bps_max", "before": "900", "after": "800"}]
    [began] = away.rows("run_started")
    assert '"order_bps_max":900' in str(began["content"])


async def test_a_file_that_was_changed_undoes_no_switch_away_from_it(tmp_path: Path) -> None:
    away = Away(tmp_path)
    own = away.profiles / "calm.toml"
    own.write_text(OWN)
    async with away.desk("calm") as here:
        await here.move()
        await switched(here, "cautious")
    own.write_text(OWN.replace("900", "800"))
    async with away.desk("calm") as here:
        assert (await here.move()).profile == "cautious"
    assert [row["after"] for row in away.rows("profile_switched")] == ["cautious"]


async def test_a_profile_that_is_unknown_or_broken_or_a_path_changes_nothing(tmp_path: Path) -> None:
    away = Away(tmp_path)
    (away.profiles / "broken.toml").write_text('extends = "cautious"\nleverage = 3')
    (tmp_path / "outside.toml").write_text(OWN)
    async with away.desk() as here:
        await here.move()
        for name, told in (
            ("yolo", "known are aggressive, broken, cautious, foundation"),
            ("broken", "leverage: is unknown"),
            ("../outside", "is unknown"),
            (str(tmp_path / "outside.toml"), "is unknown"),
        ):
            with pytest.raises(InvalidInput, match=told) as caught:
                await switched(here, name)
            assert caught.value.field == "profile"
        with pytest.raises(InvalidInput, match="profile: is needed"):
            await here.desk.control({"action": "profile", "reason": "none"}, actor="o", key="n")
        assert (await here.move()).profile == "foundation"
    assert away.rows("profile_switched") == away.rows("switch_profile") == []
