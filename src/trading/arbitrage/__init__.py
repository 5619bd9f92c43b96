"""Arbitrage between venues and chains: what can be said without asking anybody. I/O is in ``trading.adapters``."""
