"""Alerts on their way to a person: real sinks, the real relay and apprise, against loopback servers with faults."""

import email
import email.policy
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.channel_server import Inbox, http_inbox, smtp_inbox
from tests.support.keeping import until

from memmcp_server.adapters.apprise_channel import AppriseChannel
from memmcp_server.config import ChannelSection, ChannelsSection, RelaySection
from memmcp_server.domain.alert import Moment, Reading, Rule, Sample, Severity, Silence, labels_of
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import MemoryDraft, Namespace, Provenance
from memmcp_server.domain.messages import BODY_CHARS_MAX, Message, Told
from memmcp_server.domain.outbox import QDRANT
from memmcp_server.errors import Unavailable
from memmcp_server.services.alerting.alerts import Alerts
from memmcp_server.services.alerting.channel_sink import ChannelSink, is_quiet, spec_of
from memmcp_server.services.relay import Relay

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O4")]

RULE = Rule(
    "hot", "state", Severity.WARNING, 80, 60, "degrees", "hot {place}", "It is {value}.", "Cool it.",
    clear_for_s=0, escalate_after_s=300,
)  # fmt: skip
TOLD = Told("PAPER", "http://127.0.0.1:8765")
SECRET = "s3cr3t-channel-path"
OPERATOR = Caller("ada", "", "test", "operator", "internal")


@pytest.fixture(scope="module")
def inbox_server() -> Iterator[Inbox]:
    with http_inbox() as inbox:
        yield inbox


@pytest.fixture
def inbox(inbox_server: Inbox) -> Inbox:
    inbox_server.fault = ""
    inbox_server.taken.clear()
    inbox_server.refused = 0
    return inbox_server


class Desk:
    """Alerts over a journal in memory, and a channel that is a real loopback server."""

    def __init__(self, url: str, **section: Any) -> None:
        self.clock = ManualClock()
        bounds = {name: section.pop(name) for name in ("stale_after_s", "messages_max") if name in section}
        self.section = ChannelsSection(named={"phone": ChannelSection(url=SecretStr(url), **section)}, **bounds)
        self.journal = MemoryJournal(self.clock, (QDRANT, spec_of("phone")))
        self.alerts = Alerts(self.journal, self.clock, [RULE])
        self.restart()

    def restart(self) -> None:
        channel = self.section.named["phone"]
        self.messenger = AppriseChannel("phone", channel.url, channel.timeout_s)
        sink = ChannelSink("phone", self.messenger, self.section, self.journal, self.clock, TOLD)
        fast = RelaySection(backoff_base_s=0.02, backoff_cap_s=0.05, poll_s=0.05)
        self.relay = Relay(self.journal, [sink], self.clock, fast)

    async def read(self, *values: float, **labels: str) -> None:
        """Take one sample for each value, a second apart."""
        for value in values:
            self.clock.advance(1)
            reading = Reading("state", value, labels_of({"place": "attic"} | labels))
            await self.alerts.take(Sample((reading,), frozenset({"state"})))

    async def drained(self) -> bool:
        stats = (await self.journal.outbox_stats())["channel:phone"]
        return stats.pending == 0

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.relay.run)
            yield
            tasks.cancel_scope.cancel()

    async def carried(self) -> None:
        """Run the relay until nothing waits for the channel."""
        async with self.relaying():
            await until(self.drained)


def url_of(inbox: Inbox, more: str = "") -> str:
    return f"json://127.0.0.1:{inbox.port}/{SECRET}?cto=2&rto=2{more}"


async def test_an_alert_is_told_with_what_a_person_needs_and_again_when_it_is_over(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox))
    await desk.read(90)
    await desk.carried()
    await desk.read(50, 50)
    await desk.carried()

    first, second = inbox.taken
    assert first["title"] == "[WARNING] hot attic - PAPER"
    assert first["type"] == "warning"
    for part in ("It is 90 degrees.", "limit 80 degrees", "Since: ", "What to do: Cool it.", "http://127.0.0.1:8765/",
                 "docs/runbooks.md#hot"):  # fmt: skip
        assert part in first["message"]
    assert second["title"] == "[OVER] hot attic - PAPER"
    assert second["type"] == "success"


async def test_an_alert_that_ended_while_the_channel_was_away_is_told_once(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox))
    await desk.read(90, 50, 50)
    await desk.carried()
    assert inbox.titles == ["[WARNING, RAISED AND OVER] hot attic - PAPER"]


@pytest.mark.parametrize("fault", ["500", "429", "401"])
async def test_a_server_that_refuses_is_asked_again_and_gets_each_alert_once(inbox: Inbox, fault: Any) -> None:
    desk = Desk(url_of(inbox))
    inbox.fault = fault
    await desk.read(90)
    async with desk.relaying():

        async def refused_often() -> bool:
            return inbox.refused >= 3

        await until(refused_often)
        stats = desk.relay.stats()["channel:phone"]
        assert "phone did not take the message" in stats.last_error
        assert SECRET not in stats.last_error
        inbox.fault = ""
        await until(desk.drained)
    assert inbox.titles == ["[WARNING] hot attic - PAPER"]
    assert (await desk.journal.outbox_stats())["channel:phone"].dead == 0


async def test_a_server_that_hangs_is_given_up_within_its_time(inbox: Inbox) -> None:
    channel = AppriseChannel("phone", SecretStr(url_of(inbox)), 0.3)
    await channel.prepare()
    inbox.fault = "hang"
    inbox.release.clear()
    message = Message("title", "body", "info")
    with anyio.fail_after(30):
        with pytest.raises(Unavailable, match=r"did not answer within 0\.3 s"):
            await channel.send(message)
        with pytest.raises(Unavailable, match="still busy"):
            await channel.send(message)
    inbox.release.set()

    async def free() -> bool:
        return not channel._is_busy

    await until(free)
    inbox.fault = ""
    await channel.send(message)
    assert inbox.titles == ["title"]


async def test_a_server_that_is_not_there_costs_nothing_but_time() -> None:
    channel = AppriseChannel("phone", SecretStr("json://127.0.0.1:1/x?cto=1&rto=1"), 5)
    with pytest.raises(Unavailable, match="did not take the message"):
        await channel.send(Message("title", "body", "critical"))


async def test_an_address_that_nobody_knows_is_named_without_being_shown() -> None:
    channel = AppriseChannel("phone", SecretStr(f"nonsense://{SECRET}"), 5)
    with pytest.raises(Unavailable, match="none that apprise knows") as caught:
        await channel.send(Message("title", "body", "info"))
    assert SECRET not in str(caught.value) + str(caught.value.hint)


async def test_what_a_person_does_to_an_alert_is_not_told_to_them(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox))
    await desk.read(90)
    await desk.carried()
    [alert] = desk.alerts.current()
    await desk.alerts.acknowledge(alert.memory_id, OPERATOR)
    await desk.carried()
    assert len(inbox.taken) == 1


async def test_nobody_is_told_of_what_is_silenced_until_the_silence_ends(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox))
    await desk.alerts.silence_rule("hot", (), desk.clock.now_ns() + 60_000_000_000, OPERATOR)
    await desk.read(90)
    await desk.carried()
    assert inbox.taken == []
    desk.clock.advance(120)
    await desk.read(90)
    await desk.carried()
    assert inbox.titles == ["[WARNING] hot attic - PAPER"]


async def test_an_unanswered_alert_is_told_again_as_a_worse_one(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox), severity_min="critical")
    await desk.read(90)
    await desk.carried()
    assert inbox.taken == [], "a warning is not told where only critical ones are"
    desk.clock.advance(300)
    await desk.read(90)
    await desk.carried()
    assert inbox.titles == ["[CRITICAL, UNANSWERED] hot attic - PAPER"]


async def test_after_a_long_outage_one_message_sums_up_what_is_old(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox), stale_after_s=600)
    readings = tuple(Reading("state", 90, labels_of({"place": place})) for place in ("attic", "cellar", "garage"))
    await desk.alerts.take(Sample(readings, frozenset({"state"})))
    desk.clock.advance(3_600)
    await desk.carried()
    [message] = inbox.taken
    assert message["title"] == "[WARNING] 3 alerts and notices - PAPER"
    assert "hot cellar" in message["message"]


async def test_too_many_at_once_are_one_message_that_fits_anywhere(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox), messages_max=4)
    readings = tuple(Reading("state", 90, labels_of({"place": f"room {number} " + "x" * 60})) for number in range(40))
    await desk.alerts.take(Sample(readings, frozenset({"state"})))
    await desk.carried()
    [message] = inbox.taken
    assert message["title"].startswith("[WARNING] 40 alerts")
    assert len(message["message"]) <= BODY_CHARS_MAX


async def test_a_restart_tells_nothing_twice(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox))
    await desk.read(90)
    await desk.carried()
    desk.restart()
    desk.alerts = Alerts(desk.journal, desk.clock, [RULE])
    await desk.read(90, 50, 50)
    await desk.carried()
    assert inbox.titles == ["[WARNING] hot attic - PAPER", "[OVER] hot attic - PAPER"]


async def test_a_version_that_came_between_is_told_by_its_own_entry(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox), severity_min="info")
    await desk.read(90)
    sink = ChannelSink("phone", desk.messenger, desk.section, desk.journal, desk.clock, TOLD)
    entries = await desk.journal.outbox_due(sink.name, now_ns=desk.clock.now_ns(), limit=10)
    desk.clock.advance(400)
    await desk.read(90)  # it is escalated after the relay has looked
    await sink.deliver(entries)
    assert inbox.taken == [], "the entry is of a version that is not current any more"
    newer = await desk.journal.outbox_due(sink.name, now_ns=desk.clock.now_ns(), limit=10)
    await sink.deliver(newer)
    await sink.deliver(newer)
    assert inbox.titles == ["[CRITICAL, UNANSWERED] hot attic - PAPER"]


async def test_what_came_and_went_in_quiet_hours_is_told_as_that(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox), quiet="22:00-23:00")  # the clock of the test begins at 22:13 UTC
    await desk.read(90)
    await desk.carried()
    assert inbox.taken == []
    desk.clock.advance(3_000)
    await desk.read(50, 50)
    await desk.carried()
    assert [title.partition("]")[0] for title in inbox.titles] == ["[WARNING, RAISED AND OVER"]


async def test_what_the_desk_tells_by_itself_goes_out_as_a_notice(inbox: Inbox) -> None:
    desk = Desk(url_of(inbox), severity_min="warning")
    drafts = [
        MemoryDraft(
            text, text, desk.clock.now_ns(), Namespace("trading"), "alert", tags, provenance=Provenance("xavier")
        )
        for text, tags in (("momentum went up", ("promoted",)), ("momentum failed a gate", ("demoted",)))
    ]
    await desk.journal.commit(drafts)
    await desk.carried()
    [message] = inbox.taken
    assert "failed a gate" in message["message"]


async def test_mail_arrives_with_subject_and_text() -> None:
    with smtp_inbox() as mail:
        url = f"mailto://127.0.0.1:{mail.port}?from=desk@example.org&to=ada@example.org&mode=insecure"
        channel = AppriseChannel("mail", SecretStr(url), 10)
        await channel.send(Message("[CRITICAL] drawdown - PAPER", "Line one\nWhat to do: look", "critical"))
        [letter] = mail.taken
    parsed = email.message_from_string(letter["message"], policy=email.policy.default)
    assert parsed["subject"] == "[CRITICAL] drawdown - PAPER"
    assert "ada@example.org" in parsed["to"]
    text = parsed.get_body(("plain", "html"))
    assert text is not None
    assert "What to do: look" in text.get_content()


async def test_push_arrives_at_a_server_of_ones_own(inbox: Inbox) -> None:
    channel = AppriseChannel("push", SecretStr(f"ntfy://127.0.0.1:{inbox.port}/my-topic"), 10)
    await channel.send(Message("[CRITICAL] drawdown - PAPER", "Line one", "critical"))
    [message] = inbox.taken
    assert message["topic"] == "my-topic"
    assert "Line one" in message["message"]


def test_quiet_hours_reach_over_midnight_in_their_zone() -> None:
    section = ChannelSection(url=SecretStr("json://x"), quiet="22:00-07:00", zone="Europe/Berlin")
    hour_ns = 3_600_000_000_000
    midnight_utc_ns = 1_772_323_200_000_000_000  # 2026-03-01, one o'clock in Berlin
    assert is_quiet(section, midnight_utc_ns)
    assert not is_quiet(section, midnight_utc_ns + 6 * hour_ns)
    assert is_quiet(section, midnight_utc_ns + 21 * hour_ns)
    assert not is_quiet(replace_quiet(section), midnight_utc_ns)


def replace_quiet(section: ChannelSection) -> ChannelSection:
    return section.model_copy(update={"quiet": ""})


def test_a_silence_of_some_labels_covers_those_alone() -> None:
    from memmcp_server.domain.alerting import Evaluator

    evaluator = Evaluator([replace(RULE, escalate_after_s=None)])
    now = Moment(0, 1_000_000_000_000)
    evaluator.silence(Silence("hot", labels_of({"place": "attic"}), 2_000_000_000_000, "ada"), now)
    readings = tuple(Reading("state", 90, labels_of({"place": place})) for place in ("attic", "cellar"))
    raised = evaluator.take(Sample(readings, frozenset({"state"})), now)
    assert {alert.title: alert.is_silenced_at(now.wall_ns) for alert in raised} == {
        "hot attic": True,
        "hot cellar": False,
    }
