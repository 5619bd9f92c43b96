"""Past market situations with their outcomes: exact nearest neighbours, as of now, over the trading journal."""
