"""`python -m napari_s2sst`, the same as `s2sst`."""

import sys

from .cli.app import main

if __name__ == "__main__":
    sys.exit(main())
