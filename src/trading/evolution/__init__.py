"""Searching for better parameters: screening, walk-forward, and what a result is worth."""
