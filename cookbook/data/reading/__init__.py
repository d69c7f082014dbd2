"""Read what a source holds: a file of any layout, or rows in memory.

    read.reading(source)    a `Reading`: the entries with their places, and what could not be read

`read` opens and decodes; `layout` sees how the text holds its values, `entries` takes them out;
`memory` takes lists, DataFrames and other libraries' data sets. Tables are read by `tables/`.
"""

from cookbook.data.reading.reading import MAX_ENTRIES, Reading

__all__ = ["MAX_ENTRIES", "Reading"]
