"""``python -m distbp`` is ``distbp``."""

import sys

from distbp.cli import main

if __name__ == "__main__":
    sys.exit(main())
