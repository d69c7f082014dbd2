"""What was found and what was done: problems, changes, their places, and how they are shown."""

from cookbook.data.report.report import (
    MAX_MESSAGE,
    MAX_PROBLEMS,
    Problem,
    Report,
    by_line,
    counted,
    place,
)

__all__ = ["MAX_MESSAGE", "MAX_PROBLEMS", "Problem", "Report", "by_line", "counted", "place"]
