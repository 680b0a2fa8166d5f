"""pictures: see the modules."""
