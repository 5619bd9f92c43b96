"""The body of ``ports.Chain``: Solana over raw JSON-RPC, through several endpoints of which none is trusted alone."""
