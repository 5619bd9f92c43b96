"""Entry point. ``memmcp stdio`` goes straight to the bridge: what agents spawn must not wait for heavy imports."""

import os
import sys

BARE_BRIDGE = "memmcp-server"
"""The name under which registries start a server without arguments: ``uvx memmcp-server`` speaks MCP."""


def main() -> None:
    arguments = sys.argv[1:]
    program = os.path.basename(sys.argv[0]).removesuffix(".exe")  # noqa: PTH119 - pathlib is not needed for this
    is_bare = program == BARE_BRIDGE and not arguments and not sys.stdin.isatty()
    if is_bare or arguments[:1] == ["stdio"]:
        from memmcp_server.daemon.bridge import main as bridge

        sys.exit(bridge(arguments[1:]))
    if arguments[:1] == ["serve"]:
        _serve()
        return
    from memmcp_server.cli import app

    app()


def _serve() -> None:
    from memmcp_server.daemon.leaving import Leave

    leave = Leave()
    from memmcp_server.daemon.late_models import make_models_late

    make_models_late()
    from memmcp_server.cli import app  # not before: it brings the first models

    try:
        app()
    except SystemExit as end:
        leave.code = end.code if isinstance(end.code, int) else None
        raise


if __name__ == "__main__":
    main()
