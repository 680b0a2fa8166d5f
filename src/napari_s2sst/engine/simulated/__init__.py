"""simulated: see the modules."""
