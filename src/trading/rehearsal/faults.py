"""What can go wrong between a client and a node, told per endpoint: for the next calls, or until told otherwise.

Each fault says which methods it is for and how many calls of them it meets. They are taken in the order given; a call
that no fault meets goes through.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

FOREVER: Final = -1
FAULTS_LEN_MAX: Final = 1_000


class Kind(StrEnum):
    """TOO_MANY: HTTP 429. ERROR: an error answer of JSON-RPC. BROKEN: another HTTP status with a page of HTML.
    HANG: no answer. LOST: carried out, and the connection is cut before the answer. DROP: a sending is answered and
    thrown away. DELAY: a sending reaches the leader ``slots`` later. DENY: a signature is not known here. AHEAD: this
    endpoint tells heights that are ``slots`` too high. WRONG_CHAIN: another genesis hash. GARBAGE: an answer that is no
    JSON-RPC. FORK: a sending is thrown away and told as confirmed for ``slots`` slots, then nobody has it."""

    TOO_MANY = "too_many"
    ERROR = "error"
    BROKEN = "broken"
    HANG = "hang"
    LOST = "lost"
    DROP = "drop"
    DELAY = "delay"
    DENY = "deny"
    AHEAD = "ahead"
    WRONG_CHAIN = "wrong_chain"
    GARBAGE = "garbage"
    FORK = "fork"


@dataclass(slots=True)
class Fault:
    """``methods`` empty: any. ``calls``: how many it meets, ``FOREVER`` until it is cleared. ``after``: how many pass
    first. ``code``, ``message``, ``data``: of an error; ``data`` None sends none. ``retry_after_s``: of a 429."""

    kind: Kind
    methods: tuple[str, ...] = ()
    calls: int = 1
    after: int = 0
    slots: int = 0
    code: int = -32005
    message: str = "Node is behind"
    data: Any = None
    retry_after_s: float | None = None
    status: int = 502

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Fault":
        """Return the fault of a JSON object. Raises: ValueError naming the field."""
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(body) - known):
            msg = f"unknown field {unknown[0]}; known are {', '.join(sorted(known))}"
            raise ValueError(msg)
        if body.get("kind") not in {each.value for each in Kind}:
            msg = f"kind: {body.get('kind')!r} is none of {', '.join(each.value for each in Kind)}"
            raise ValueError(msg)
        return cls(**{**body, "kind": Kind(body["kind"]), "methods": tuple(body.get("methods", ()))})


@dataclass(slots=True)
class Faults:
    """Of one endpoint. ``met`` counts what was done to whom."""

    waiting: list[Fault] = field(default_factory=list)
    met: dict[str, int] = field(default_factory=dict)

    def add(self, *faults: Fault) -> None:
        """Raises: ValueError when too many wait."""
        if len(self.waiting) + len(faults) > FAULTS_LEN_MAX:
            msg = f"at most {FAULTS_LEN_MAX} faults may wait"
            raise ValueError(msg)
        self.waiting.extend(faults)

    def clear(self) -> None:
        self.waiting.clear()

    def next(self, method: str, kinds: Sequence[Kind]) -> Fault | None:
        """Return the fault of these kinds that meets this call, and count it."""
        for fault in self.waiting:
            if fault.kind not in kinds or (fault.methods and method not in fault.methods):
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            if fault.calls > 0:
                fault.calls -= 1
                if fault.calls == 0:
                    self.waiting.remove(fault)
            name = f"{fault.kind.value} {method}"
            self.met[name] = self.met.get(name, 0) + 1
            return fault
        return None


def error_body(call_id: Any, fault: Fault) -> bytes:
    error = {"code": fault.code, "message": fault.message, **({} if fault.data is None else {"data": fault.data})}
    return json.dumps({"jsonrpc": "2.0", "id": call_id, "error": error}).encode()
