"""threads: see the modules."""
