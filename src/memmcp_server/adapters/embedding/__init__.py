"""Text to vectors: which model files are at hand, and the embedder that runs them. Used in the index worker only."""
