"""What a client is told of a request whose answer does not come. Standard library only."""

from . import rpc


def unanswered_line(request_id: rpc.RequestId, message: rpc.Message, silent_s: float) -> bytes:
    """Return the answer to a request that a hung daemon does not give."""
    name = rpc.params_of(message).get("name") or message["method"]
    text = f"the daemon hangs: no answer to {name} in {silent_s:.0f} s, and none to a greeting. "
    if rpc.is_repeatable(message):
        text += "Try again; if it stays, run `memmcp doctor`, or `memmcp stop` and the next message starts a new one."
        return rpc.error_line(request_id, rpc.SERVER_ERROR, text, kind="unavailable")
    key = rpc.key_of(message)
    text += f'The outcome is unknown. Repeat the same call with idempotency_key="{key}": it takes effect at most once.'
    data: rpc.Message = {"idempotency_key": key, "retryable": True}
    return rpc.error_line(request_id, rpc.SERVER_ERROR, text, kind="outcome_unknown", data=data)


def lost_line(request_id: rpc.RequestId, message: rpc.Message, repeats: int) -> bytes:
    """Return the answer to a request that is not sent again."""
    name = rpc.params_of(message).get("name") or message["method"]
    if rpc.is_repeatable(message):
        text = f"the daemon ended {repeats} times while {name} was running: see `memmcp logs`"
        return rpc.error_line(request_id, rpc.SERVER_ERROR, text, kind="unavailable")
    key = rpc.key_of(message)
    text = (
        f"the daemon ended while {name} was running: the outcome is unknown. "
        f'Repeat the same call with idempotency_key="{key}": it takes effect at most once.'
    )
    data: rpc.Message = {"idempotency_key": key, "retryable": True}
    return rpc.error_line(request_id, rpc.SERVER_ERROR, text, kind="outcome_unknown", data=data)
