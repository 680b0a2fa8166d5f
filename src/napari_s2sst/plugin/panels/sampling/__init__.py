"""sampling: see the modules."""
