"""Payloads are read once, and again when they were written."""

from collections.abc import Mapping, Sequence

from memmcp_server.adapters.index.payloads import KnownPayloads, Payload


class Shelf:
    def __init__(self) -> None:
        self.payloads: dict[str, Payload] = {name: {"memory_id": name} for name in "abcd"}
        self.asked: list[list[str]] = []
        self.known = KnownPayloads(self.read, len_max=3)

    def read(self, point_ids: Sequence[str]) -> Mapping[str, Payload]:
        self.asked.append(list(point_ids))
        return {each: self.payloads[each] for each in point_ids if each in self.payloads}


def test_what_is_known_is_not_read_again_and_what_does_not_exist_is_left_out() -> None:
    shelf = Shelf()

    assert shelf.known.of(["a", "b"]) == {"a": {"memory_id": "a"}, "b": {"memory_id": "b"}}
    assert set(shelf.known.of(["b", "c", "gone"])) == {"b", "c"}

    assert shelf.asked == [["a", "b"], ["c", "gone"]]


def test_what_is_written_is_read_anew() -> None:
    shelf = Shelf()
    shelf.known.of(["a", "b"])
    shelf.payloads["a"] = {"memory_id": "a", "version": 2}

    shelf.known.forget(["a", "never known"])
    assert shelf.known.of(["a", "b"])["a"] == {"memory_id": "a", "version": 2}
    shelf.known.forget()
    shelf.known.of(["b"])

    assert shelf.asked == [["a", "b"], ["a"], ["b"]]


def test_what_was_read_while_something_was_written_is_not_kept() -> None:
    shelf = Shelf()
    plain_read = shelf.read

    def overtaken(point_ids: Sequence[str]) -> Mapping[str, Payload]:
        found = plain_read(point_ids)
        shelf.payloads["a"] = {"memory_id": "a", "version": 2}
        shelf.known.forget(["a"])
        return found

    shelf.known = KnownPayloads(overtaken)
    shelf.known.of(["a"])

    assert shelf.known.of(["a"])["a"]["version"] == 2


def test_no_more_than_the_bound_are_kept_the_newest_longest() -> None:
    shelf = Shelf()
    for name in "abcd":
        shelf.known.of([name])
    shelf.asked.clear()

    shelf.known.of(["d", "a"])

    assert shelf.asked == [["a"]]
