"""The vector index: one child process that owns embedder and store (``worker``), and its face in the daemon
(``worker_index.WorkerIndex``). Nothing outside the child opens a shard or imports a vector library.
"""
