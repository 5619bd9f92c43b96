"""Documents that are put together from several services and shown by more than one door."""
