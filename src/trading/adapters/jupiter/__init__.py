"""Jupiter's Swap V2, Price V3 and Tokens V2 over HTTP: swaps, prices and what a symbol may mean."""
