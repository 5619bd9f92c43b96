"""The signer as a process: ``signer_process.py FOLDER SOCKET DESK_UID ORIGIN``; its passphrase comes later."""

import asyncio
import sys
from pathlib import Path

from trading.runtime.signer_run import SignerOptions, run_signer


def main() -> None:
    folder, socket, desk, origin = sys.argv[1:5]
    options = SignerOptions(Path(folder), Path(socket), (desk,), (origin,))
    asyncio.run(run_signer(options, None, lambda _missing: print("ready", flush=True)))


main()
