"""How a training survives: non-finite values, signals, failed processes, provenance."""
