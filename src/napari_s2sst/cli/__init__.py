"""The command line `s2sst`: one module a command."""

from .app import main

__all__ = ["main"]
