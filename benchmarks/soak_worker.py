"""The index worker as the soak runs it: on SIGUSR1 it gives back at once what it has freed. The product does so once a
minute, which is two days of a hastened market: what stood there in between would be taken for something held."""

import gc
import os
import signal
import sys

from benchmarks.soak_control import VARIABLE, Control


def main() -> int:
    from memmcp_server.adapters.index import worker
    from memmcp_server.adapters.index.heap import release_freed

    control = Control.at(os.environ[VARIABLE])

    def tidy(*_: object) -> None:
        gc.collect()
        release_freed()
        control.worker_tidied += 1

    signal.signal(signal.SIGUSR1, tidy)
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
