"""slides: see the modules."""
