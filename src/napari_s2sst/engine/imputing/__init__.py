"""imputing: see the modules."""
