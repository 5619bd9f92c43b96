"""Runs an executor over the scripted chain until an intent is decided, and kills it where a test says."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
import sqlalchemy as sa

from tests.doubles.plain_chain import FINAL_SLOTS, GENESIS, PlainChain
from trading.adapters import execution_journal
from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.sqlite import Step, open_engine
from trading.execution.executor import Executor, ExecutorRules, Outlook
from trading.model.intent import Intent, IntentRecord, IntentState

RULES = ExecutorRules(genesis_hash=GENESIS, poll_s=0.8, resend_s=2.0, backoff_s=0.0005, backoff_cap_s=0.001)


def keep_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reopen journals with the engine, and so the statements, of before: compiling them is half of a life."""
    engines: dict[Path, sa.Engine] = {}

    def kept(path: Path, steps: Sequence[Step], *, connections: int) -> sa.Engine:
        if path not in engines:
            engines[path] = open_engine(path, steps, connections=connections)
        return engines[path]

    monkeypatch.setattr(execution_journal, "open_engine", kept)


class Killed(BaseException):
    """The process died here."""


class Knife:
    """Ends the process at the nth boundary: before or after one call of the executor to the world outside."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.boundaries: list[str] = []
        self.has_cut = False

    def pass_by(self, name: str) -> None:
        if self.has_cut:
            raise Killed(name)  # a dead process does nothing any more
        self.boundaries.append(name)
        if self.at is not None and len(self.boundaries) > self.at:
            self.has_cut = True
            raise Killed(name)


class Watched:
    """Passes calls on and tells the knife before and after each of them."""

    def __init__(self, target: Any, knife: Knife) -> None:
        self._target = target
        self._knife = knife

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def plain(*args: Any, **kwargs: Any) -> Any:
            self._knife.pass_by(f"before {name}")
            answer = found(*args, **kwargs)
            self._knife.pass_by(f"after {name}")
            return answer

        async def waiting(*args: Any, **kwargs: Any) -> Any:
            self._knife.pass_by(f"before {name}")
            answer = await found(*args, **kwargs)
            self._knife.pass_by(f"after {name}")
            return answer

        return waiting if _is_async(found) else plain


def _is_async(call: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(call)


def live_once(path: Path, chain: PlainChain, intent: Intent, knife: Knife | None = None) -> IntentRecord | None:
    """One life of a process: start, reconcile, take the intent, work until it is decided. None: it was killed."""
    knife = knife or Knife()
    journal = SqlExecutionJournal.at(path, chain.now_ns)
    try:
        return anyio.run(_live, journal, chain, intent, knife)
    except BaseExceptionGroup as group:
        if group.split(Killed)[1] is not None:
            raise
        return None
    except Killed:
        return None
    finally:
        journal.close()


async def _live(journal: SqlExecutionJournal, chain: PlainChain, intent: Intent, knife: Knife) -> IntentRecord:
    changed = anyio.Event()

    def on_change(_intent_id: str) -> None:
        changed.set()

    preparer = Watched(chain.preparer(), knife)
    outlook = Outlook(chain.now_ns, on_change=on_change)
    watched = Watched(journal, knife), Watched(chain, knife), preparer
    executor = Executor(*watched, RULES, outlook, _directly)
    async with anyio.create_task_group() as tasks:
        await tasks.start(_running, executor, intent.wallet)
        known = await executor.take(intent)
        while not known.is_final and known.state is not IntentState.NEEDS_REVIEW:
            await changed.wait()
            changed = anyio.Event()
            known = journal.record(intent.id)
        tasks.cancel_scope.cancel()
    return known


async def _directly(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A disk in memory needs no thread beside the loop."""
    await anyio.lowlevel.checkpoint()
    return call(*args, **kwargs)


async def _running(executor: Executor, wallet: str, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    await executor.run([wallet], task_status=task_status)


def finish(path: Path, chain: PlainChain, intent: Intent, lives_max: int = 5) -> IntentRecord:
    """Live again and again, unhurt, until the intent is decided."""
    for _ in range(lives_max):
        known = live_once(path, chain, intent)
        if known is not None:
            chain.tick(2 * FINAL_SLOTS)  # whatever was still under way lands now, if it can
            return known
    msg = f"{intent.id} is undecided after {lives_max} lives"
    raise AssertionError(msg)
