"""scores: see the modules."""
