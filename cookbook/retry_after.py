"""Read for how long a service asks to be left alone: the header Retry-After."""

import email.utils
import math
import time
from collections.abc import Mapping


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, which may be a number or a date.

    None where there is none that can be read.
    """
    text = headers.get("retry-after", "")
    # A date in the past, like a negative number, means now.
    try:
        seconds = float(text)
    except ValueError:
        return _until(text)
    # "nan" is a float, too.
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _until(text: str) -> float | None:
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, date.timestamp() - time.time())
