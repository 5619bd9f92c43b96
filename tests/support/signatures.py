"""What the SDK makes of a function's signature, made once in a process.

A server of the doors makes a model and a schema for each resource and prompt, which is more than half of what opening a
stage costs. Each test that opens one makes the same ones: the functions differ only in the services that they close
over.
"""

import copy
import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from mcp.server.mcpserver.prompts import base as prompts
from mcp.server.mcpserver.resources import templates
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata, func_metadata


def keep_signatures() -> None:
    """From now on servers take what was made for a function of the same code and signature before."""
    for module in (templates, prompts):
        module.func_metadata = _kept  # type: ignore[attr-defined]


def _kept(
    function: Callable[..., Any], skip_names: Sequence[str] = (), structured_output: bool | None = None
) -> FuncMetadata:
    key = inspect.unwrap(function).__code__, str(inspect.signature(function)), tuple(skip_names), structured_output
    if key not in _made:
        _made[key] = made = func_metadata(function, skip_names, structured_output)
        made.arg_model.model_json_schema = _copied(made.arg_model.model_json_schema)  # type: ignore[method-assign]
    return _made[key]


def _copied(schema: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    kept = cache(schema)
    return lambda: copy.deepcopy(kept())


_made: dict[object, FuncMetadata] = {}
