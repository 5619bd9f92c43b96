"""The policies of namespaces: read once and then again when they may have changed, set by operators."""

from collections.abc import Mapping

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.lifecycle import SetPolicy
from memmcp_server.domain.memory import Provenance
from memmcp_server.domain.policy import PolicyBook, parse_policy
from memmcp_server.errors import InvalidInput, Refused
from memmcp_server.ports import Clock, Journal

FRESH_S = 2.0
"""Another daemon may change a policy (PostgreSQL); this one notices within that time."""

POLICIES_MAX = 256


class Policies:
    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._book = PolicyBook({})
        self._read_at_s: float | None = None
        self._changes = 0

    async def book(self) -> PolicyBook:
        """Return the policies that hold now. Raises: JournalBusy, JournalUnavailable."""
        now_s = self._clock.monotonic_s()
        while self._read_at_s is None or now_s - self._read_at_s > FRESH_S:
            changes = self._changes
            stored = await self._journal.policies()
            if changes != self._changes:
                continue  # what was read may be of before the change, and must not stand for what holds after it
            self._book = PolicyBook({name: parse_policy(name, document) for name, document in stored.items()})
            self._read_at_s = now_s
        return self._book

    def recall(self, documents: Mapping[str, JsonObject]) -> None:
        """Hold these until the journal was asked for the first time: they held when it was last heard of."""
        if self._read_at_s is None:
            self._book = PolicyBook({name: parse_policy(name, document) for name, document in documents.items()})

    def last_known(self) -> PolicyBook:
        """Return what held when the journal was last asked."""
        return self._book

    def refresh(self) -> None:
        """Read the policies anew at the next look: somebody else has set some."""
        self._changes += 1
        self._read_at_s = None

    async def set(self, namespace: str, document: JsonObject | None, caller: Caller) -> PolicyBook:
        """Set the policy of a namespace or subtree, or take it back (None); return what holds then.

        Raises: Refused (not an operator), InvalidInput.
        """
        if caller.role != "operator":
            msg = "policies are set by the operator"
            raise Refused(msg, hint="ask the operator: memmcp namespace set NAMESPACE ...")
        parsed = None if document is None else parse_policy(namespace, document).document()
        known = (await self.book()).set_by_operator
        if parsed is not None and namespace not in known and len(known) >= POLICIES_MAX:
            msg = f"there are {len(known)} policies already; at most {POLICIES_MAX} are allowed"
            raise InvalidInput(msg, field="namespace", hint="set one for a subtree: team/ covers everything below it")
        by = Provenance(agent=caller.agent, session=caller.session, tool=caller.tool)
        await self._journal.commit([SetPolicy(namespace, parsed, by)])
        self.refresh()
        return await self.book()
