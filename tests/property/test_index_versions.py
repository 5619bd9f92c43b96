"""Whatever order, repetition and staleness deliveries have, the index ends up saying the same."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.memories import T0_NS, a_memory

from memmcp_server.adapters.index.conditions import admits, conditions, covering, payload_of, validity_of
from memmcp_server.adapters.index.documents import (
    PointDocument,
    filter_document,
    parse_filter,
    parse_point,
    point_document,
)
from memmcp_server.adapters.index.store import StoredPoint
from memmcp_server.adapters.index.texts import point_of
from memmcp_server.adapters.index.versions import Revalidate, Write, reconcile
from memmcp_server.domain.memory import MemoryFilter, namespace_covers

VERSIONS = 5


def history() -> list[PointDocument]:
    """Five versions; each knows when it ended."""
    memories = [a_memory("m", f"text {n}", version=n, known_at_ns=T0_NS + 10 * n) for n in range(1, VERSIONS + 1)]
    ended = [replace(m, superseded_at_ns=m.known_at_ns + 10) for m in memories[:-1]]
    return [parse_point(point_document(point_of(memory))) for memory in [*ended, memories[-1]]]


class Store:
    """What reconcile says, done to a dictionary."""

    def __init__(self) -> None:
        self.points: dict[str, StoredPoint] = {}

    def deliver(self, documents: list[PointDocument]) -> None:
        writes, changes = reconcile(documents, list(self.points.values()), has_model=True)
        for write in writes:
            self._write(write)
        for change in changes:
            self._change(change)

    def ends(self) -> dict[int, int | None]:
        return {int(str(p.payload["version"])): p.payload["known_to_ns"] for p in self.points.values()}  # type: ignore[misc]

    def _write(self, write: Write) -> None:
        payload = payload_of(write.document, write.known_to_ns, "yes")
        self.points[write.document.point_id] = StoredPoint(write.document.point_id, payload)

    def _change(self, change: Revalidate) -> None:
        point = self.points[change.point_id]
        self.points[change.point_id] = StoredPoint(point.id, {**point.payload, **validity_of(change.known_to_ns)})


batches = st.lists(st.lists(st.tuples(st.integers(0, VERSIONS - 1), st.booleans()), min_size=1, max_size=4), max_size=8)


@given(batches)
def test_every_order_of_deliveries_gives_one_valid_version_and_the_true_history(
    order: list[list[tuple[int, bool]]],
) -> None:
    versions, store = history(), Store()
    for batch in order:
        # A stale delivery was read before the update and does not know yet that its version ended.
        store.deliver([replace(versions[n], known_to_ns=None) if stale else versions[n] for n, stale in batch])
        assert sum(end is None for end in store.ends().values()) <= 1

    store.deliver(versions)

    assert store.ends() == {version.version: version.known_to_ns for version in versions}
    before = dict(store.points)
    store.deliver(versions)
    assert store.points == before


times = st.integers(T0_NS - 3_000, T0_NS + 3_000)


@given(times, times, st.none() | times, st.none() | times, st.none() | times)
def test_the_coarse_filter_never_hides_what_the_exact_one_admits(
    ts_event_ns: int, known_at_ns: int, ends_ns: int | None, expires_at_ns: int | None, as_of_ns: int | None
) -> None:
    memory = a_memory(
        "m",
        "x",
        ts_event_ns=ts_event_ns,
        known_at_ns=known_at_ns,
        superseded_at_ns=ends_ns,
        expires_at_ns=expires_at_ns,
    )
    where = MemoryFilter(as_of_ns=as_of_ns, since_ns=T0_NS - 1_500, until_ns=T0_NS + 1_500)
    payload = payload_of(parse_point(point_document(point_of(memory))), ends_ns, "yes")
    is_alive = expires_at_ns is None or expires_at_ns > (T0_NS if as_of_ns is None else as_of_ns)
    expected = where.admits(memory) and is_alive

    asked = conditions(where, T0_NS, may_expire=expires_at_ns is not None)
    coarse = all(meets(payload, part) for part in asked["must"])  # type: ignore[union-attr, arg-type]

    assert (coarse and admits(where, T0_NS, payload)) == expected


def meets(payload: dict[str, object], part: dict[str, dict[str, object]]) -> bool:
    """One condition, as the engine understands it: numbers are doubles."""
    value = payload[str(part["key"])]
    if "range" in part:
        number, bounds = float(value), part["range"]  # type: ignore[arg-type]
        return float(bounds.get("gte", number)) <= number <= float(bounds.get("lte", number))  # type: ignore[arg-type]
    wanted = part["match"]["value"]
    return wanted in value if isinstance(value, list) else value == wanted


names = st.lists(st.sampled_from(["a", "ab", "b"]), min_size=1, max_size=4).map("/".join)


@given(names, names, st.booleans())
def test_the_index_and_the_journal_agree_on_what_a_namespace_covers(pattern: str, namespace: str, tree: bool) -> None:
    pattern = pattern + "/" if tree else pattern

    assert (pattern in covering(namespace)) == namespace_covers(pattern, namespace)


@given(
    st.builds(
        MemoryFilter,
        namespace=st.none() | names,
        kinds=st.lists(names, max_size=3).map(tuple),
        tags=st.lists(names, max_size=3).map(tuple),
        agent=st.none() | names,
        since_ns=st.none() | times,
        until_ns=st.none() | times,
        as_of_ns=st.none() | times,
        trajectory_id=st.none() | names,
        valid_at_ns=st.none() | times,
        hidden=st.lists(names, max_size=3).map(tuple),
    )
)
def test_a_filter_crosses_the_pipe_unchanged(where: MemoryFilter) -> None:
    assert parse_filter(filter_document(where)) == where
