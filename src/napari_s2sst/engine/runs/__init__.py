"""runs: see the modules."""
