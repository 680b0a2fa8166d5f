"""controllers: see the modules."""
