"""What holds in a namespace: who may read and write there, how far it is trusted, how long it is kept.

A policy is set for one namespace or, ending in '/', for a subtree. All that cover a namespace bind it: readers and
writers must be allowed by each, any legal hold counts; of the other fields the most specific policy that sets one wins.
Agents' names are what clients say of themselves: a policy keeps honest agents apart, it is no lock against a thief.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from memmcp_server.errors import InvalidInput

from .caller import Caller
from .drafts import check_namespace
from .identifiers import JsonObject
from .memory import RESERVED_NAMESPACES, Trust, namespace_covers

NAMES_MAX = 64
NAME_LENGTH_MAX = 128
DAYS_MAX = 36_500
MADE_MAX = 10_000
"""Namespaces whose policy is kept ready."""

MERGE_COSINE_MIN = 0.8
MERGE_COSINE_DEFAULT = 0.95
"""Near-duplicates of this cosine and more are merged, when the other guards agree (see ``services.merging``)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """None: not said here. ``readers`` and ``writers`` are names of agents; an empty list admits nobody but operators.

    ``retention_days``: forgotten so long after it became known. ``half_life_days``: importance fades by half in that
    time. ``merge_cosine``: from which likeness on near-duplicates are merged, 0 for never.
    """

    readers: tuple[str, ...] | None = None
    writers: tuple[str, ...] | None = None
    trust: Trust | None = None
    retention_days: int | None = None
    half_life_days: int | None = None
    merge_cosine: float | None = None
    legal_hold: bool | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing may be forgotten, merged or superseded here."""
        return bool(self.legal_hold)

    def document(self) -> JsonObject:
        """Return what is said, as JSON."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in said.items()
            if value is not None
        }


RUNTIME_POLICY = Policy(legal_hold=True, merge_cosine=0.0)
"""Records of trades are neither merged nor forgotten, whatever else is set."""


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """Every policy that was set, by namespace or subtree, over those of the runtime's own namespaces."""

    set_by_operator: Mapping[str, Policy]
    _made: dict[str, Policy] = field(default_factory=dict, repr=False, compare=False)

    def of(self, namespace: str) -> Policy:
        """Return what holds in the namespace, all covering policies together."""
        policy = self._made.get(namespace)
        if policy is None:
            if len(self._made) >= MADE_MAX:
                self._made.clear()
            policy = self._made[namespace] = self._make(namespace)
        return policy

    def _make(self, namespace: str) -> Policy:
        covering = [pattern for pattern in self.set_by_operator if namespace_covers(pattern, namespace)]
        policy = Policy(merge_cosine=MERGE_COSINE_DEFAULT)
        for pattern in sorted(covering, key=lambda each: (len(each.rstrip("/")), not each.endswith("/"))):
            policy = _bound(policy, self.set_by_operator[pattern])
        if any(namespace_covers(reserved, namespace) for reserved in RESERVED_NAMESPACES):
            policy = replace(policy, legal_hold=True, merge_cosine=0.0)
        return policy

    def hidden_from(self, caller: Caller) -> tuple[str, ...]:
        """Return the namespaces and subtrees that the caller may not read, sorted."""
        if caller.role == "operator":
            return ()
        return tuple(
            sorted(
                pattern
                for pattern, policy in self.set_by_operator.items()
                if policy.readers is not None and caller.agent not in policy.readers
            )
        )

    def may_read(self, caller: Caller, namespace: str) -> bool:
        return not any(namespace_covers(pattern, namespace) for pattern in self.hidden_from(caller))

    def may_write(self, caller: Caller, namespace: str) -> bool:
        writers = self.of(namespace).writers
        return caller.role == "operator" or writers is None or caller.agent in writers


def parse_policy(namespace: str, document: JsonObject) -> Policy:
    """Return the policy that a document describes.

    Raises: InvalidInput naming the field, what was given and what is allowed.
    """
    check_namespace(namespace.removesuffix("/"))
    known = {field.name for field in fields(Policy)}
    unknown = sorted(document.keys() - known)
    if unknown:
        msg = f"a policy has no {unknown[0]!r}; it has: {', '.join(sorted(known))}"
        raise InvalidInput(msg, field=f"policy.{unknown[0]}")
    values: dict[str, Any] = {name: value for name, value in document.items() if value is not None}
    for name in ("readers", "writers"):
        if name in values:
            values[name] = _names(name, values[name])
    for name in ("retention_days", "half_life_days"):
        if name in values:
            _check(name, values[name], _is_whole(values[name], 1, DAYS_MAX), f"a whole number from 1 to {DAYS_MAX}")
    if "merge_cosine" in values:
        given = values["merge_cosine"]
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        _check(
            "merge_cosine", given, is_number and (given == 0 or MERGE_COSINE_MIN <= given <= 1), "0 (never) or 0.8 to 1"
        )
        values["merge_cosine"] = float(given)
    if "trust" in values:
        allowed = (Trust.AGENT.value, Trust.UNTRUSTED.value)
        _check("trust", values["trust"], values["trust"] in allowed, " or ".join(allowed))
        values["trust"] = Trust(values["trust"])
    if "legal_hold" in values:
        _check("legal_hold", values["legal_hold"], isinstance(values["legal_hold"], bool), "true or false")
    return Policy(**values)


def _bound(wide: Policy, narrow: Policy) -> Policy:
    """Return both policies together, the second being the more specific one."""
    said = {field.name: getattr(narrow, field.name) for field in fields(narrow)}
    both = replace(wide, **{name: value for name, value in said.items() if value is not None})
    return replace(
        both,
        readers=_common(wide.readers, narrow.readers),
        writers=_common(wide.writers, narrow.writers),
        legal_hold=wide.holds or narrow.holds,
    )


def _common(wide: tuple[str, ...] | None, narrow: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if wide is None or narrow is None:
        return narrow if wide is None else wide
    return tuple(name for name in narrow if name in wide)


def _names(field: str, given: object) -> tuple[str, ...]:
    is_right = (
        isinstance(given, list)
        and len(given) <= NAMES_MAX
        and all(isinstance(name, str) and 0 < len(name) <= NAME_LENGTH_MAX for name in given)
    )
    _check(field, given, is_right, f"a list of at most {NAMES_MAX} names of agents")
    assert isinstance(given, list)
    return tuple(dict.fromkeys(given))


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _check(field: str, given: object, is_right: bool, allowed: str) -> None:
    if not is_right:
        msg = f"{field} is {given!r:.80}; allowed: {allowed}"
        raise InvalidInput(msg, field=f"policy.{field}")
