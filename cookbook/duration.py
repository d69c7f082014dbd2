"""Say how long something takes, in the unit that suits and in the reader's language."""

from cookbook.i18n import tr


def duration(seconds: float | None) -> str:
    """Return a duration in seconds, minutes or hours, whichever suits; None is unknown."""
    if seconds is None:
        return tr("未知", "unknown")
    if seconds < 60:
        return f"{max(1, seconds):.0f} {tr('秒', 's')}"
    # Up to an hour and a half, minutes are easier to imagine than a fraction of hours.
    if seconds < 5400:
        return f"{seconds / 60:.1f} {tr('分钟', 'min')}"
    return f"{seconds / 3600:.1f} {tr('小时', 'h')}"
