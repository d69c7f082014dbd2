"""The switch for code that exists for speed alone.

Such code is in a `fast/` folder, behind a plain path that gives the same results.
`COOKBOOK_FAST=0` takes the plain path everywhere: to compare the two, or to see whether a
fault is in the fast one.
"""

import os

from cookbook import environment


def enabled() -> bool:
    """Return whether the fast paths are in use."""
    return environment.value_of("COOKBOOK_FAST", os.environ) != "0"
