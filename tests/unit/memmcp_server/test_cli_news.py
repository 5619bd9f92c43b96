"""The reader behind `memmcp changes`: what it asks and acknowledges, and its patience with a daemon that is gone."""

from typing import Any, cast

import pytest

from memmcp_server.cli import news
from memmcp_server.cli.client import Client, NoDaemon
from memmcp_server.cli.news import Reader


class FakeDaemon:
    """Answers with the pages it was given, one after another; an exception stands for a daemon that is gone."""

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)
        self.asked: list[dict[str, Any]] = []

    def get(self, path: str, query: dict[str, Any], timeout_s: float) -> Any:
        assert path == "/memory/changes"
        self.asked.append(query)
        page = self.pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return page


def a_page(*seqs: int, cursor: str, more: bool = False) -> dict[str, Any]:
    return {"changes": [{"seq": seq} for seq in seqs], "next_cursor": cursor, "more": more}


def a_reader(daemon: FakeDaemon, again: FakeDaemon | None = None, name: str | None = None) -> Reader:
    def find_again() -> Client:
        if again is None:
            raise NoDaemon("nobody")
        return cast("Client", again)

    return Reader(cast("Client", daemon), find_again, {"name": name, "namespace": None}, "start")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "RETRY_S", 0.0)
    monkeypatch.setattr(news, "PATIENCE_S", 0.05)


def test_pages_are_read_on_to_the_limit_and_not_beyond() -> None:
    daemon = FakeDaemon(a_page(1, 2, cursor="c2", more=True), a_page(3, cursor="c3", more=True))
    found, more = a_reader(daemon).take(3)
    assert [change["seq"] for change in found] == [1, 2, 3]
    assert more
    assert [(query["cursor"], query["limit"]) for query in daemon.asked] == [("start", 3), ("c2", 1)]


def test_a_follower_goes_on_with_a_daemon_that_was_started_anew() -> None:
    gone = FakeDaemon(a_page(1, cursor="c1"), NoDaemon("gone"))
    anew = FakeDaemon(a_page(2, cursor="c2"), a_page(cursor="c2"))
    seen: list[int] = []
    a_reader(gone, anew, name="inbox").follow(2, lambda change: seen.append(change["seq"]))
    assert seen == [1, 2]
    assert [query["cursor"] for query in anew.asked] == ["c1", "c2"], "the last one acknowledges"


def test_a_follower_whose_daemon_stays_away_says_so_in_the_end() -> None:
    with pytest.raises(NoDaemon):
        a_reader(FakeDaemon(NoDaemon("gone"))).follow(None, lambda change: None)


def test_without_a_name_nothing_is_acknowledged() -> None:
    daemon = FakeDaemon()
    a_reader(daemon).acknowledge()
    assert daemon.asked == []
