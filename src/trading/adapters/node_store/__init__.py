"""What nodes share, in a PostgreSQL database: orders, leases of wallets, limits, and what is owed to the chain."""
