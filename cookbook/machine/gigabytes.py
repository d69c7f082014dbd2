"""Write amounts of memory; GB are 2**30 bytes everywhere."""

import math

MB = 2**20
GB = 2**30


def at_least(size: float) -> str:
    """Return a number of bytes that is enough for `size`: rounded up, "0.8 GB" for 0.71."""
    step = GB if size >= 19.95 * GB else GB / 10
    return in_gb(math.ceil(size / step) * step)


def in_gb(size: float) -> str:
    """Return a number of bytes as a reader takes it in: "3.1 GB", "0.02 GB", "24 GB", "3 MB"."""
    gb = size / GB
    if gb < 0.01:
        return f"{size / MB:.0f} MB"
    # So many digits as a reader can use.
    if gb >= 19.95:
        digits = 0
    elif gb >= 0.095:
        digits = 1
    else:
        digits = 2
    return f"{gb:.{digits}f} GB"
