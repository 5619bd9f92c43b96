"""Read by an interpreter whose PYTHONPATH names this folder: with BENCHMARK_VECTORS set, texts get prepared vectors.

So a benchmark can measure a search beside the embedding itself, in the index worker as it is always started.
"""

import os
from pathlib import Path

if "BENCHMARK_VECTORS" in os.environ:
    from benchmarks.filling import load_base

    from memmcp_server.adapters.embedding import fastembed_embedder

    prepared = load_base(Path(os.environ["BENCHMARK_VECTORS"]))
    fastembed_embedder.load_embedder = lambda _section, _models_dir: prepared  # type: ignore[assignment,return-value]
