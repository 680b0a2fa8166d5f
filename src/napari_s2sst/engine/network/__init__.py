"""network: see the modules."""
