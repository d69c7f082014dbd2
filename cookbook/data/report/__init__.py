"""What is said in the end: problems and changes with their places, and how they are shown.

    Report.add(number, code, …)     add a problem; `codes` has the severity and the remedy of each
    changes.change_of(place, code)  the record of something that was done
    excerpt.around(text, 3, 7)      the offending text with what surrounds it, safe to show

`report` collects problems, `view` shows them; `columns` and `pointing` find their line and column
in the source, once it is known which are kept. `names` and `calls` write what messages name: keys,
columns, people; and the calls that readers paste. `cleaned` is what `clean` and the converters
return.
"""

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
