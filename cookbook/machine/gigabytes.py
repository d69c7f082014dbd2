"""Write amounts of memory; GB are 2**30 bytes everywhere."""

MB = 2**20
GB = 2**30


def in_gb(size: float) -> str:
    """Return a number of bytes as a reader takes it in: "3.1 GB", "0.02 GB", "24 GB"."""
    gb = size / GB
    # So many digits as a reader can use.
    if gb >= 19.95:
        digits = 0
    elif gb >= 0.095:
        digits = 1
    else:
        digits = 2
    return f"{gb:.{digits}f} GB"
