"""The firewall's two answers to a secret: refuse it, for what people and agents send, or cut it out."""

from memmcp_server.domain.identifiers import Json
from memmcp_server.domain.secrets import LocatedSecret, looks_clean, redacted_document, secrets_in
from memmcp_server.errors import SecretRefused
from memmcp_server.ports import SecretScanner

SECRETS_NAMED_MAX = 5
HINT = (
    "take the secret out, or put [redacted] in its place, and send the rest; if it was real, it has passed through a "
    "model's context: rotate it"
)


def refuse_secrets(scanner: SecretScanner, document: Json, *, path: str = "") -> None:
    """Let a document pass that holds no secret in any string, key or list; ``path`` names the document as a whole.

    Raises: SecretRefused, which names paths and kinds and never a value; InvalidInput when it is nested too deep.
    """
    if looks_clean(document, scanner.scan):
        return
    found = secrets_in(document, scanner.scan, path)
    if found:
        raise SecretRefused(_message(found), field=found[0].path or None, hint=HINT)


def without_secrets(scanner: SecretScanner, document: Json) -> tuple[Json, list[LocatedSecret]]:
    """Return a copy with a marker in place of each secret, and what was cut out where.

    For what cannot be sent back: the runtime's own copies, and imports. Raises: InvalidInput when nested too deep.
    """
    if looks_clean(document, scanner.scan):
        return document, []
    return redacted_document(document, scanner.scan)


def _message(found: list[LocatedSecret]) -> str:
    distinct = list(dict.fromkeys(f"{each.path or 'the text'} ({each.kind})" for each in found))
    named = ", ".join(distinct[:SECRETS_NAMED_MAX])
    more = f" and {len(distinct) - SECRETS_NAMED_MAX} more" if len(distinct) > SECRETS_NAMED_MAX else ""
    return f"a secret is in {named}{more}; secrets are never stored, and nothing was written"
