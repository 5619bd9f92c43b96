"""A pytest plugin: several processes share out the files of tests; each takes the next that none has taken.

So each file is read, and its asserts are rewritten, by one process only, where each worker of pytest-xdist reads all.
Each process is given the same files and the same empty folder, in which it notes what it takes:
``pytest -p tests.support.sharing_out --share=FOLDER tests``.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

import pytest

FIRST: tuple[str, ...] = (
    "tests/property/test_exactly_once.py",
    "tests/unit/memmcp_server/adapters/index/test_worker_index.py",
    "tests/contract/test_vector_index.py",
    "tests/redteam/test_orders_by_agents.py",
    "tests/integration/test_execution.py",
)
"""What takes longest, so that no process is left alone with it at the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", type=Path, required=True, help="the folder in which processes note what they take")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Sharing(config.getoption("share")))


class Sharing:
    """Reads a file when this process has taken it, then runs its tests: pytest itself reads all before it runs any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tests = 0
        self._files: list[pytest.File] | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """Find the files, and read none."""
        session.perform_collect(genitems=False)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item | pytest.Collector]) -> None:
        # At first these are folders, which others may take out here as tests that are not wanted.
        if self._files is None:
            self._files = sorted(_files(items), key=lambda file: (_rank(file), file.nodeid))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        # The next test is known before one is run: what a session shares is kept from one file to the next.
        for item, following in pairwise(chain(self._items(session), [None])):
            assert item is not None
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
        # Where the other processes have taken all, there is nothing wrong in having found no tests.
        session.testscollected = self._tests or 1
        return True

    def _items(self, session: pytest.Session) -> Iterator[pytest.Item]:
        for number, file in enumerate(self._files or ()):
            if self._take(number):
                session.items = items = list(session.genitems(file))
                session.config.hook.pytest_collection_modifyitems(session=session, config=session.config, items=items)
                self._tests += len(items)
                yield from items

    def _take(self, number: int) -> bool:
        """Say whether this process is the first that takes the file of that number."""
        try:
            (self._folder / str(number)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def _files(nodes: Sequence[pytest.Item | pytest.Collector]) -> Iterator[pytest.File]:
    for node in nodes:
        if isinstance(node, pytest.File):
            yield node
        elif isinstance(node, pytest.Collector):
            report = node.ihook.pytest_make_collect_report(collector=node)
            node.ihook.pytest_collectreport(report=report)
            yield from _files(report.result)


def _rank(file: pytest.File) -> int:
    return FIRST.index(file.nodeid) if file.nodeid in FIRST else len(FIRST)
