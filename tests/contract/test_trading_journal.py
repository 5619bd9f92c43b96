"""The contract of ports.Journal, run on every body."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trading.adapters.memory_journal import MemoryJournal
from trading.adapters.sql_journal import JournalStore
from trading.errors import JournalUnavailable
from trading.ports import Journal

MakeJournal = Callable[[], Journal]


@pytest.fixture(params=["memory", "sqlite"])
def make_journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeJournal]:
    if request.param == "memory":
        yield MemoryJournal
        return
    store = JournalStore.at(tmp_path / "journal.db")
    count = iter(range(1_000))
    yield lambda: store.start_run(f"run-{next(count)}", "test", 0)
    store.close()


def filled(make_journal: MakeJournal) -> Journal:
    journal = make_journal()
    journal.append(10, "input", {"ref": "ab:1"})
    journal.append(10, "order", {"id": "o1", "amount": 2**70, "text": "gør"})
    journal.append(20, "fill", {"order_id": "o1"})
    journal.append(30, "cycle", {"number": 1, "nested": {"b": [1, "x"], "a": True}})
    journal.commit()
    return journal


def test_rows_come_back_in_order_with_their_seq(make_journal: MakeJournal) -> None:
    journal = filled(make_journal)
    assert [(row.seq, row.ts_ns, row.kind) for row in journal.rows()] == [
        (1, 10, "input"),
        (2, 10, "order"),
        (3, 20, "fill"),
        (4, 30, "cycle"),
    ]


def test_a_body_is_canonical_json(make_journal: MakeJournal) -> None:
    rows = list(filled(make_journal).rows())
    assert rows[1].body == b'{"amount":1180591620717411303424,"id":"o1","text":"g\xc3\xb8r"}'
    assert rows[3].body == b'{"nested":{"a":true,"b":[1,"x"]},"number":1}'


def test_a_row_is_invisible_until_it_is_committed(make_journal: MakeJournal) -> None:
    journal = filled(make_journal)
    assert journal.append(40, "cycle", {"number": 2}) == 5
    assert journal.horizon() == 4
    assert [row.seq for row in journal.rows(after=3)] == [4]
    before = journal.sha256()
    journal.commit()
    assert journal.horizon() == 5
    assert [row.seq for row in journal.rows(after=3)] == [4, 5]
    assert journal.sha256() != before


def test_rows_are_filtered_by_kind_and_time(make_journal: MakeJournal) -> None:
    journal = filled(make_journal)
    assert [row.seq for row in journal.rows(kinds=("fill", "order"))] == [2, 3]
    assert [row.seq for row in journal.rows(kinds=("input", "fill"))] == [1, 3]
    assert [row.seq for row in journal.rows(since_ns=20)] == [3, 4]
    assert [row.seq for row in journal.rows(until_ns=10, after=1)] == [2]


def test_newest_goes_backwards_from_a_place(make_journal: MakeJournal) -> None:
    journal = filled(make_journal)
    assert [row.seq for row in journal.newest(limit=2)] == [4, 3]
    assert [row.seq for row in journal.newest(("order", "fill"), before=3, limit=5)] == [2]
    assert journal.newest(("nothing",)) == []


def test_the_hash_covers_every_column_and_nothing_else(make_journal: MakeJournal) -> None:
    same, other = filled(make_journal), filled(make_journal)
    assert same.sha256() == other.sha256()
    base = make_journal()
    base.append(1, "a", {"x": 1})
    base.commit()
    for ts_ns, kind, body in ((2, "a", {"x": 1}), (1, "b", {"x": 1}), (1, "a", {"x": 2})):
        changed = make_journal()
        changed.append(ts_ns, kind, body)
        changed.commit()
        assert changed.sha256() != base.sha256()


def test_both_bodies_have_one_hash(tmp_path: Path) -> None:
    store = JournalStore.at(tmp_path / "journal.db")
    assert filled(MemoryJournal).sha256() == filled(lambda: store.start_run("r", "t", 0)).sha256()
    store.close()


@pytest.mark.parametrize("body", [{"x": 1.5}, {"x": [1, {"y": 0.1}]}, {"x": object()}, {"x": {1: "a"}}])
def test_a_float_or_an_object_is_refused_by_name(make_journal: MakeJournal, body: dict[str, object]) -> None:
    journal = make_journal()
    with pytest.raises(TypeError, match="x"):
        journal.append(1, "a", body)
    journal.commit()
    assert journal.horizon() == 0


def test_a_closed_journal_refuses(make_journal: MakeJournal) -> None:
    journal = filled(make_journal)
    journal.close()
    journal.close()
    with pytest.raises(JournalUnavailable):
        journal.append(1, "a", {})
    with pytest.raises(JournalUnavailable):
        journal.commit()


def test_a_canonical_body_gives_the_row_of_its_mapping(make_journal: MakeJournal) -> None:
    one, other = make_journal(), make_journal()
    for number in range(3):
        assert one.append(5, "input", {"end": str(number)}) == number + 1
        assert other.append_canonical(5, "input", b'{"end":"%d"}' % number) == number + 1
    for journal in (one, other):
        journal.commit()
    assert list(one.rows()) == list(other.rows())
    assert one.sha256() == other.sha256()
    other.close()
    with pytest.raises(JournalUnavailable):
        other.append_canonical(5, "input", b"{}")
