"""benchmark: see the modules."""
