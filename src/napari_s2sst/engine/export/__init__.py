"""export: see the modules."""
