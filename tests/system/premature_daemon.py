"""The control daemon: everything as in the real one, except that its journal acknowledges before it commits."""

import sys

from tests.doubles.premature_journal import open_premature_journal

from memmcp_server.daemon.start import Launch, main


def run() -> int:
    return main(sys.argv[1:], Launch(by_bridge=True, open_journal=open_premature_journal))
