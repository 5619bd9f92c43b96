"""Requests and responses as JSON, the same on every door (MCP, HTTP, command line).

Times are ISO 8601 in UTC. Lamports are ints (1 SOL = 10^9 lamports); amounts that a person reads or types are decimal
strings with their unit in the name; token amounts in base units are strings, since they can pass 2^53.
"""
