"""`python -m mechcheck.cli` is `mechcheck`."""

import sys

from mechcheck.cli import main

if __name__ == "__main__":
    sys.exit(main())
