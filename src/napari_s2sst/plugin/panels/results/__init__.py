"""results: see the modules."""
