"""What the retrieval benchmark asks: generated conversations, memories of the trading runtime, LoCoMo's format."""
