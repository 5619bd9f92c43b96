"""A Solana cluster on one's own machine: a real virtual machine with a clock, forks and an RPC that can fail.

Nothing here shares code with the desk's own client: what both sides believe about the chain must agree by itself.
"""
