"""panels: see the modules."""
