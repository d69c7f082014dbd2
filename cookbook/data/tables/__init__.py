"""Read a table as the reader sees it: each row an entry, each cell the text that is shown.

    read(content, path)     a workbook, a Parquet file, or text in columns
    of_frame(frame)         a DataFrame
    of(source)              any of them, by path or from memory

Nothing is lost silently: a row that has more or fewer cells than the heading, or a cell that cannot
be read, is reported with its line, and whatever is read otherwise than it is stored is listed as a
change. Nothing is made of the entries here; `from_table` and `chat_log` do that.

`source` finds out what a file is; `workbook`, `csv_text`, `parquet` and `frame` read it, once
`table_size` has seen that it fits. `heading` finds the names of columns, `table` makes the rows
entries. `number_format` and `date_format` write a cell as Excel shows it, `names` the letters of
its column.
"""

from cookbook.data.tables.frame import of_frame
from cookbook.data.tables.source import as_table, of, of_messages, read
from cookbook.data.tables.table import Table

__all__ = ["Table", "as_table", "of", "of_frame", "of_messages", "read"]
