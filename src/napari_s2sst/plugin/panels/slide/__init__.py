"""slide: see the modules."""
