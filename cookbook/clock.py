"""Say at what time something is, in the time zone of whoever reads it."""

import time


def clock(moment: float | None) -> str | None:
    """Return a time of today as hours and minutes, another one with its date.

    None where there is no such moment, or none that a calendar has.
    """
    if moment is None:
        return None
    try:
        then = time.localtime(moment)
    except (OverflowError, ValueError, OSError):
        return None
    today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", then)
