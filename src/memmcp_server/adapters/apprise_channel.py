"""Messages to a person through apprise, which speaks to some 130 services; it is synchronous, so it has a thread.

The address of a channel holds its secrets: it is in no log, error or status. apprise takes a second to load, so it is
loaded where a channel is configured, and then beside everything else.
"""

import asyncio
import contextlib
import logging
import re
import threading
from collections import deque
from typing import Any, Final

from pydantic import SecretStr

from memmcp_server.domain.messages import Message
from memmcp_server.errors import Unavailable

LOAD_TIMEOUT_S: Final = 60.0
DETAIL_CHARS_MAX: Final = 200
PART_CHARS_MIN: Final = 4
KINDS: Final = {"info": "info", "warning": "warning", "critical": "failure", "over": "success"}

logger = logging.getLogger(__name__)


class AppriseChannel:
    """Body of ``ports.Messenger``. At most one thread is at work; one that hangs is left alone, and waited for."""

    def __init__(self, name: str, url: SecretStr, timeout_s: float) -> None:
        self._name = name
        self._url = url
        self._timeout_s = timeout_s
        self._is_busy = False
        self._loaded: Any = None

    async def prepare(self) -> None:
        try:
            await self._in_thread(self._load, LOAD_TIMEOUT_S)
        except (Unavailable, TimeoutError) as error:
            logger.warning("channel %s: %s", self._name, error)

    async def send(self, message: Message) -> None:
        try:
            if self._loaded is None:  # which takes its own time, not the server's
                await self._in_thread(self._load, LOAD_TIMEOUT_S)
            problem = await self._in_thread(lambda: self._sent(message), self._timeout_s)
        except TimeoutError as error:
            limit_s = LOAD_TIMEOUT_S if self._loaded is None else self._timeout_s
            msg = f"channel {self._name} did not answer within {limit_s:g} s"
            raise Unavailable(msg, hint="the message is tried again") from error
        if problem:
            msg = f"channel {self._name} did not take the message: {problem}"
            raise Unavailable(msg, hint=f"check its address; try it with: memmcp alerts test {self._name}")

    async def _in_thread(self, work: Any, timeout_s: float) -> Any:
        """Run the work in a thread that ends with the process. Raises: TimeoutError, Unavailable (one is at work)."""
        if self._is_busy:
            msg = f"channel {self._name} is still busy with the message before"
            raise Unavailable(msg, hint="the message is tried again")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def settle(outcome: Any) -> None:
            if done.done():
                return
            if isinstance(outcome, Exception):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

        def run() -> None:
            outcome: Any = Unavailable(f"channel {self._name} failed in a way nobody foresaw; see the log")
            try:
                outcome = work()
            except Unavailable as error:
                outcome = error
            finally:
                self._is_busy = False
                with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits
                    loop.call_soon_threadsafe(settle, outcome)

        self._is_busy = True
        threading.Thread(target=run, name=f"channel {self._name}", daemon=True).start()
        async with asyncio.timeout(timeout_s):
            return await done

    def _load(self) -> Any:
        if self._loaded is None:
            import apprise

            # Its own lines may hold an address; what matters of them is in our errors, without it.
            vendor = logging.getLogger("apprise")
            vendor.propagate = False
            logging.getLogger("urllib3").setLevel(logging.ERROR)
            asset = apprise.AppriseAsset(
                app_id="memMCP", async_mode=False, storage_mode=apprise.PersistentStoreMode.MEMORY
            )
            channel = apprise.Apprise(asset=asset)
            if not channel.add(self._url.get_secret_value()):
                msg = f"the address of channel {self._name} is none that apprise knows"
                raise Unavailable(
                    msg, hint="see channels.named in memmcp.toml: tgram://, ntfy://, mailto://, json:// ..."
                )
            self._loaded = channel
        return self._loaded

    def _sent(self, message: Message) -> str:
        """Return why it was not taken, empty when it was."""
        channel = self._load()
        import apprise

        kept = _Kept(threading.get_ident())
        vendor = logging.getLogger("apprise")
        vendor.addHandler(kept)
        try:
            is_taken = bool(
                channel.notify(
                    title=message.title,
                    body=message.body,
                    notify_type=apprise.NotifyType(KINDS[message.kind]),
                    body_format=apprise.NotifyFormat.TEXT,
                )
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            return self._clean(f"{type(error).__name__}: {error}")
        finally:
            vendor.removeHandler(kept)
        if is_taken:
            return ""
        return self._clean("; ".join(kept.lines)) or "its server said no, or does not answer"

    def _clean(self, text: str) -> str:
        """Take everything out that is part of the address."""
        for part in sorted(re.split(r"[/:@?&=+,;#\s]+", self._url.get_secret_value()), key=len, reverse=True):
            if len(part) >= PART_CHARS_MIN:
                text = text.replace(part, "***")
        return " ".join(text.split())[:DETAIL_CHARS_MAX]


class _Kept(logging.Handler):
    """Keeps the last warnings of one thread."""

    def __init__(self, ident: int) -> None:
        super().__init__(logging.WARNING)
        self._ident = ident
        self.lines: deque[str] = deque(maxlen=3)

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._ident:
            self.lines.append(record.getMessage())
