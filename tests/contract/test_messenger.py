"""The contract of Messenger, on every body: taken once, refused in words, and no address in them."""

from collections.abc import Iterator

import anyio
import pytest
from pydantic import SecretStr
from tests.doubles.messenger import RecordingMessenger
from tests.support.channel_server import Inbox, http_inbox

from memmcp_server.adapters.apprise_channel import AppriseChannel
from memmcp_server.domain.messages import Message
from memmcp_server.errors import Unavailable
from memmcp_server.ports import Messenger

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O4")]

ADDRESS = "a-secret-path"
MESSAGE = Message("[CRITICAL] drawdown - PAPER", "Line one\nLine two", "critical")


class Case:
    """One messenger and how to look at what has arrived."""

    def __init__(self, inbox: Inbox | None) -> None:
        self.inbox = inbox
        self.recording = RecordingMessenger()
        url = SecretStr(f"json://127.0.0.1:{0 if inbox is None else inbox.port}/{ADDRESS}?cto=2&rto=2")
        self.messenger: Messenger = self.recording if inbox is None else AppriseChannel("hook", url, 60)

    def take_down(self, is_down: bool) -> None:
        self.recording.is_down = is_down
        if self.inbox is not None:
            self.inbox.fault = "500" if is_down else ""

    @property
    def arrived(self) -> list[str]:
        if self.inbox is not None:
            return self.inbox.titles
        return [message.title for message in self.recording.messages]


@pytest.fixture(params=["apprise", "recording"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    if request.param == "recording":
        yield Case(None)
        return
    with http_inbox() as inbox:
        yield Case(inbox)


async def test_a_message_arrives_once_with_or_without_preparation(case: Case) -> None:
    await case.messenger.send(MESSAGE)
    await case.messenger.prepare()
    assert case.arrived == [MESSAGE.title]


async def test_a_message_that_is_not_taken_is_said_so_without_the_address(case: Case) -> None:
    case.take_down(True)
    with anyio.fail_after(60), pytest.raises(Unavailable, match="did not take the message") as caught:
        await case.messenger.send(MESSAGE)
    assert ADDRESS not in f"{caught.value.message} {caught.value.hint}"
    assert case.arrived == []
    case.take_down(False)
    await case.messenger.send(MESSAGE)
    assert case.arrived == [MESSAGE.title]
