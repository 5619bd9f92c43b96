"""A centralised exchange through ccxt: its books, our balances there, and orders that are made exactly once."""
