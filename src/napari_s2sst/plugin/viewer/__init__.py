"""viewer: see the modules."""
