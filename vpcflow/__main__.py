"""Entry point of `python -m vpcflow`."""

import sys
import warnings

if not sys.warnoptions:
    # Dependencies warn about each other's versions; users can't act on that.
    warnings.simplefilter("ignore")

from .cli import main

main()
