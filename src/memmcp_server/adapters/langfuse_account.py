"""Asks Langfuse, through its own SDK, what a pair of keys opens: for a person who sets it up. Everything else that goes
there goes through ``adapters.tracing``, which an outage neither holds up nor costs anything."""

from typing import Final

import httpx  # the SDK's own client raises its errors
from langfuse.api import LangfuseAPI
from langfuse.api.core.api_error import ApiError

from memmcp_server.config import LangfuseSection
from memmcp_server.errors import InvalidInput, MemoryServerError, ReceiverUnavailable

REFUSED: Final = frozenset({401, 403})
FIELD: Final = "langfuse.secret_key"
ADDRESS_HINT: Final = "langfuse.base_url is the address of a Langfuse server, without a path"


def project_behind(section: LangfuseSection) -> str:
    """Return the name of the project that the keys of a section that is on belong to. Blocks for its ``timeout_s``.

    Raises: InvalidInput (the keys open nothing there), ReceiverUnavailable (no answer, or not one of Langfuse's).
    """
    assert section.secret_key is not None
    try:
        with httpx.Client(timeout=section.timeout_s, follow_redirects=False, trust_env=False) as client:
            api = LangfuseAPI(
                base_url=section.base_url.rstrip("/"),
                username=section.public_key,
                password=section.secret_key.get_secret_value(),
                x_langfuse_public_key=section.public_key,
                httpx_client=client,
            )
            found = api.projects.get(request_options={"max_retries": 0}).data
    except ApiError as error:
        raise _refusal(section, error.status_code) from None
    except httpx.HTTPError as error:
        msg = f"{section.base_url} cannot be reached: {type(error).__name__}"
        raise ReceiverUnavailable(msg, hint="nothing is lost: traces wait in the outbox") from None
    except ValueError as error:  # also pydantic's
        msg = f"{section.base_url} answered something that Langfuse does not"
        raise ReceiverUnavailable(msg, hint=ADDRESS_HINT) from error
    if not found:
        msg = f"the keys belong to no project of {section.base_url}"
        raise InvalidInput(msg, field=FIELD, hint="take the keys of a project, not of an organisation")
    return str(found[0].name)


def _refusal(section: LangfuseSection, status: int | None) -> MemoryServerError:
    if status in REFUSED:
        msg = f"{section.base_url} does not know these keys ({status})"
        return InvalidInput(msg, field=FIELD, hint="both keys are those of one project of that very server")
    msg = f"{section.base_url} answered {status} when asked for the project"
    return ReceiverUnavailable(msg, hint=ADDRESS_HINT)
