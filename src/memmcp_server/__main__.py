"""Entry point. ``memmcp stdio`` goes straight to the bridge: what agents spawn must not wait for heavy imports."""

import sys


def main() -> None:
    if sys.argv[1:2] == ["stdio"]:
        from memmcp_server.daemon.bridge import main as bridge

        sys.exit(bridge(sys.argv[2:]))
    from memmcp_server.cli import app

    app()


if __name__ == "__main__":
    main()
