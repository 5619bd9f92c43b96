"""Keys and the process that holds them: what is signed is decided here, under limits of its own."""
