"""What is owed to the chain, in ``execution.db``: the body of ``ports.ExecutionJournal`` of a desk that executes alone.

Whoever opens the file last is the only one who may write: an older process finds a newer epoch and stops.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from trading.errors import InvalidInput
from trading.model.intent import Intent, IntentRecord, IntentState

from .execution_rows import found_record
from .execution_schema import STEPS, fence, home, intents, record, wallets
from .instance import InstanceFile
from .intent_book import BY_KEY, PROBLEM_OF_WALLET, IntentBook, check_wish, same_wish
from .sqlite import FencedFile, open_engine, translating

_BEFORE_OPENING: Final = sa.select(
    sa.select(home.c.problem).scalar_subquery(),
    PROBLEM_OF_WALLET.scalar_subquery(),
    sa.select(sa.func.coalesce(sa.func.max(intents.c.number), 0) + 1).scalar_subquery(),
)


class SqlExecutionJournal(IntentBook):
    """Made by ``SqlExecutionJournal.at(path, now_ns)``; any thread may call it, one at a time gets in."""

    def __init__(self, file: FencedFile, now_ns: Callable[[], int]) -> None:
        super().__init__(file.engine, now_ns)
        self._file = file

    @classmethod
    def at(cls, path: Path, now_ns: Callable[[], int], instance: InstanceFile | None = None) -> "SqlExecutionJournal":
        """Open or make the journal and shut out whoever had it open before.

        With ``instance`` one that is not of this directory takes no new intent, and every wallet that it knows is
        halted, until ``accept`` and ``release``.
        """
        found = cls(FencedFile(path, STEPS, fence.c.epoch, "as one desk works for a wallet at a time"), now_ns)
        if instance is not None:
            found._bind(instance)
        return found

    def _bind(self, instance: InstanceFile) -> None:
        """Notice a journal that is not of this directory, and make it of this directory."""
        with self._writing() as connection:
            bound = connection.execute(sa.select(home.c.instance)).scalar_one()
            is_used = connection.execute(sa.select(record.c.seq).limit(1)).first() is not None
            problem = instance.problem(bound, self.epoch - 1, is_used=is_used)
            own = instance.renewed(is_problem=bool(problem))
            connection.execute(sa.update(home).values(instance=own))
            if problem:
                connection.execute(sa.update(home).values(problem=problem))
                self._note(connection, "", "", "moved", {"problem": problem})
                known = sa.union(sa.select(intents.c.wallet), sa.select(wallets.c.wallet))
                for wallet in connection.execute(known).scalars().all():
                    self._halt(connection, wallet, f"the journal is not of this place: {problem}", {})
        with translating(self.path):
            instance.write(own, self.epoch)

    @property
    def problem(self) -> str:
        """Why the journal as a whole is not to be trusted, "" where it is."""
        with self._reading() as connection:
            return str(connection.execute(sa.select(home.c.problem)).scalar_one())

    def accept(self, actor: str, reason: str) -> None:
        """Take intents again after a person has looked: the journal is of this place from now on. Wallets that were
        halted for it are released one by one. Raises: InvalidInput where there is nothing to accept, or no reason."""
        with self._writing() as connection:
            problem = connection.execute(sa.select(home.c.problem)).scalar_one()
            if not problem or not reason.strip():
                msg = "the journal is of this place already" if reason.strip() else "reason: say what was looked at"
                raise InvalidInput(msg, field="reason")
            connection.execute(sa.update(home).values(problem=""))
            self._note(connection, "", "", "accepted", {"actor": actor, "reason": reason, "problem": problem})

    def open(self, intent: Intent) -> IntentRecord:
        check_wish(intent)
        # The order behind it is durable in the desk's own journal, and carried again under the same key should this
        # row be lost with the power. Before anything is sent, the sync of its signed bytes covers it too.
        with self._writing(syncs_later=True) as connection:
            known = found_record(connection, BY_KEY, intent.key)
            if known is not None:
                same_wish(known.intent, intent)
                return known
            problem, halted, number = connection.execute(_BEFORE_OPENING, {"of_wallet": intent.wallet}).one()
            if problem:
                msg = f"{self.path}: {problem}"
                raise InvalidInput(msg, field="wallet", hint="`memmcp-trade review` shows what waits for an answer")
            if halted:
                msg = f"wallet {intent.wallet} is halted: {halted}"
                raise InvalidInput(msg, field="wallet", hint="`memmcp-trade review` shows what waits for an answer")
            return self._opened(connection, intent, number)

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def epoch(self) -> int:
        """How often the journal was opened: only whoever opened it last may write."""
        return self._file.epoch

    @contextmanager
    def _writing(self, *, signs: bool = False, syncs_later: bool = False) -> Iterator[sa.Connection]:
        """``syncs_later``: what is written outlives the process at once, and the machine from the next commit on. Who
        may write may sign: ``signs`` changes nothing."""
        with self._file.writing(syncs_later=syncs_later) as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """Beside a commit that waits for the disk: who looks does not wait with it."""
        with translating(self.path), self._engine.connect() as connection, connection.begin():
            yield connection

    def _closed(self, connection: sa.Connection, known: IntentRecord, state: IntentState) -> None:
        """What an intent held is read off its state: a desk that executes alone keeps no reservations besides."""


def review_queue(path: Path) -> tuple[int, tuple[str, ...]]:
    """Return how many intents need review and which wallets are halted, shutting nobody out of the journal.

    Raises: JournalUnavailable where the file is none of ours; (0, ()) where there is none.
    """
    if not path.is_file():
        return 0, ()
    engine = open_engine(path, STEPS, connections=1)
    try:
        with translating(path), engine.connect() as connection:
            waiting = sa.select(sa.func.count()).where(intents.c.state == IntentState.NEEDS_REVIEW.value)
            stopped = sa.select(wallets.c.wallet).where(wallets.c.problem != "").order_by(wallets.c.wallet)
            return int(connection.execute(waiting).scalar_one()), tuple(connection.execute(stopped).scalars())
    finally:
        engine.dispose()
