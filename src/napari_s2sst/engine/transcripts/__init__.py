"""transcripts: see the modules."""
