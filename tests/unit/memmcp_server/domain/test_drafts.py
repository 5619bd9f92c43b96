"""What a memory may hold, and what a caller is told who sends something else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memmcp_server.domain.drafts import DraftFields, DraftLimits, make_draft
from memmcp_server.domain.memory import MemoryDraft, Provenance
from memmcp_server.domain.times import from_ns, to_ns
from memmcp_server.errors import InvalidInput, PayloadTooLarge

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW_NS = to_ns(NOW)
LIMITS = DraftLimits(content_bytes_max=100, metadata_bytes_max=50)


def make(content: str = "hello", agent: str = "claude", **fields: Any) -> MemoryDraft:
    return make_draft(DraftFields(content=content, **fields), Provenance(agent=agent), LIMITS, NOW_NS)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("empty", {"content": ""}, "content", "empty"),
    ("blank", {"content": " \n\t"}, "content", "empty"),
    ("bell", {"content": "ding \x07"}, "content", "U+0007 at 5"),
    ("nul", {"content": "a\x00"}, "content", "U+0000"),
    ("c1 control", {"content": "a\x85b"}, "content", "U+0085"),
    ("lone surrogate", {"content": "cut \ud83d"}, "content", "U+D83D at 4"),
    ("upper case namespace", {"namespace": "Team"}, "namespace", "'Team'"),
    ("namespace that climbs", {"namespace": "../etc"}, "namespace", "'../etc'"),
    ("namespace of dots", {"namespace": "a/.."}, "namespace", "'a/..'"),
    ("namespace with a newline", {"namespace": "team\n"}, "namespace", r"'team\n'"),
    ("deep namespace", {"namespace": "a/b/c/d/e"}, "namespace", "1 to 4"),
    ("long namespace", {"namespace": "/".join(["a" * 60] * 4)}, "namespace", "128"),
    ("kind", {"kind": "Note!"}, "kind", "'Note!'"),
    ("kind with a newline", {"kind": "note\n"}, "kind", r"'note\n'"),
    ("too many tags", {"tags": ["t"] * 33}, "tags", "33"),
    ("empty tag", {"tags": ["a", ""]}, "tags[1]", "1 to 64"),
    ("long tag", {"tags": ["x" * 65]}, "tags[0]", "65"),
    ("tag with a separator", {"tags": ["a\x1fb"]}, "tags[0]", "U+001F"),
    ("nan", {"metadata": {"a": [1, float("nan")]}}, "metadata", "metadata.a[1] is nan"),
    ("infinity", {"metadata": {"a": float("-inf")}}, "metadata", "-inf"),
    ("deep metadata", {"metadata": nested(9)}, "metadata", "8 levels"),
    ("not json", {"metadata": {"a": {1, 2}}}, "metadata", "set"),
    ("key that is no string", {"metadata": {1: 2}}, "metadata", "keys must be strings"),
    ("large integer", {"metadata": {"a": 2**63}}, "metadata", "64 bits"),
    ("surrogate in metadata", {"metadata": {"a": "\udc00"}}, "metadata.a", "U+DC00"),
    ("nul in metadata", {"metadata": {"a\x00": 1}}, "metadata", "U+0000"),
    ("naive ts", {"ts": datetime(2026, 1, 1)}, "ts", "without a zone"),  # noqa: DTZ001
    ("future ts", {"ts": NOW + timedelta(days=1, seconds=1)}, "ts", "more than a day"),
    ("negative ts", {"ts": datetime(1969, 12, 31, tzinfo=UTC)}, "ts", "1970"),
    ("naive expiry", {"expires_at": datetime(2027, 1, 1)}, "expires_at", "without a zone"),  # noqa: DTZ001
    ("expiry before", {"expires_at": NOW - timedelta(seconds=1)}, "expires_at", "not later than ts"),
    ("endless expiry", {"expires_at": datetime(9999, 1, 1, tzinfo=UTC)}, "expires_at", "2262"),
    ("empty trajectory", {"trajectory_id": ""}, "trajectory_id", "1 to 128"),
    ("long trajectory", {"trajectory_id": "x" * 129}, "trajectory_id", "129"),
    ("empty key", {"key": ""}, "idempotency_key", "1 to 200"),
    ("long key", {"key": "k" * 201}, "idempotency_key", "201"),
    ("agent", {"agent": "evil\x1b[2J"}, "agent", "U+001B"),
]


@pytest.mark.parametrize(("fields", "field", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_an_error_that_names_the_field_and_what_was_given(
    fields: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(**fields)
    assert caught.value.field == field
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("fields", "field"), [({"content": "ü" * 51}, "content"), ({"metadata": {"a": "x" * 60}}, "metadata")]
)
def test_what_is_too_large_is_told_its_size_and_the_limit(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        make(**fields)
    assert caught.value.field == field
    assert str({"content": 102, "metadata": 68}[field]) in caught.value.message
    assert str({"content": 100, "metadata": 50}[field]) in caught.value.message


def test_everything_at_its_limit_is_accepted() -> None:
    draft = make(
        "x" * 100,
        namespace="a/b/c/d",
        tags=[f"t{n}" for n in range(32)],
        metadata={"a": 2**63 - 1, "b": [None, True, 1.5, "x"]},
        ts=NOW + timedelta(days=1),
        expires_at=datetime(2262, 1, 1, tzinfo=UTC),
        trajectory_id="x" * 128,
        key="k" * 200,
    )
    assert draft.key == "k" * 200
    assert draft.ts_event_ns == NOW_NS + 86_400 * 10**9
    assert make("line one\nline two\ttabbed\r\n").content == "line one\nline two\ttabbed\r\n"
    assert make(metadata=nested(7)).metadata == nested(7)


def test_a_time_keeps_its_instant_whatever_its_zone() -> None:
    east = timezone(timedelta(hours=2))
    assert make(ts=NOW.astimezone(east)).ts_event_ns == NOW_NS
    assert make().ts_event_ns == NOW_NS


def test_repeated_tags_are_kept_once_in_order() -> None:
    assert make(tags=["b", "a", "b"]).tags == ("b", "a")


@pytest.mark.requirement("M3")
def test_a_write_without_a_key_has_the_same_one_when_repeated_later() -> None:
    fields = DraftFields(content="hello", metadata={"b": 1, "a": 2}, tags=("x", "y"))
    first = make_draft(fields, Provenance(agent="claude"), LIMITS, NOW_NS)
    later = replace(fields, metadata={"a": 2, "b": 1}, tags=("y", "x"))
    again = make_draft(later, Provenance(agent="claude", session="other"), LIMITS, NOW_NS + 5)
    assert again.key == first.key


@pytest.mark.requirement("M3")
@pytest.mark.parametrize(
    "changed",
    [
        {"content": "hello!"},
        {"namespace": "team"},
        {"agent": "cursor"},
        {"kind": "lesson"},
        {"metadata": {"a": 1}},
        {"trajectory_id": "t"},
        {"ts": NOW},
        {"tags": ["t"]},
        {"expires_at": NOW + timedelta(days=1)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_derived_key_covers_everything_that_a_caller_says(changed: dict[str, Any]) -> None:
    assert make(**changed).key != make().key


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2262, 1, 1)))  # noqa: DTZ001
def test_times_survive_the_way_to_nanoseconds_and_back(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert from_ns(to_ns(aware)) == aware
    assert to_ns(aware) % 1_000 == 0


@given(st.text(max_size=30))
def test_any_text_is_accepted_unchanged_or_refused_by_name(text: str) -> None:
    kept, refused = None, None
    try:
        kept = make(text).content
    except InvalidInput as error:
        refused = error.field
    assert (kept, refused) in ((text, None), (None, "content"))
    if kept is not None:
        assert text.encode().decode() == text
        assert "\x00" not in text
