"""`python -m mechcheck.cli`: the command."""

import sys

from mechcheck.cli import main

sys.exit(main())
