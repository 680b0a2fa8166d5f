"""classical: see the modules."""
