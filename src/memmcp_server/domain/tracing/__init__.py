"""What the daemon tells a trace receiver: spans and scores, made from memories and from calls at the doors."""
