"""What other memory stores left on disk, read as memories: nothing is written there, nothing of theirs is run."""
