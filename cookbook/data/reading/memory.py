"""Read rows that are in memory already: lists, generators, DataFrames, other libraries' data sets.

Libraries are known by what their objects can do, so that none has to be installed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from cookbook.data.entry import Place
from cookbook.data.reading import Reading, layout
from cookbook.data.report.names import named
from cookbook.errors import DataError
from cookbook.i18n import tr


def read(source: Any) -> Reading:
    """Return the rows that something holds in memory.

    Raises:
        DataError: it holds none, or several lists of rows.
    """
    if hasattr(source, "to_dict") and hasattr(source, "columns"):  # a DataFrame of pandas
        from cookbook.data import tables

        return tables.of_frame(source)
    name = tr("内存中的数据", "rows in memory")
    result = Reading.empty(name, "memory")
    for value in _objects(source):
        # Rows of other libraries look like dicts, and are no dicts.
        plain = dict(value) if isinstance(value, Mapping) else value
        result.add(Place(result.count + 1), plain)
    return result


def _objects(source: Any) -> Iterable:
    """Return the rows of whatever holds them in memory.

    Raises:
        DataError: it holds none, or several lists of rows.
    """
    if hasattr(source, "to_pylist"):  # a table of pyarrow
        return source.to_pylist()
    if hasattr(source, "to_dicts"):  # a DataFrame of polars
        return source.to_dicts()
    if isinstance(source, Mapping):
        return _objects_of_mapping(source)
    if callable(getattr(source, "read", None)):
        raise DataError(
            zh="给的是打开的文件：请直接给文件路径",
            en="this is an open file: give its path",
        )
    if isinstance(source, bytes | bytearray) or not isinstance(source, Iterable):
        kind = type(source).__name__
        raise DataError(
            zh=f"不能从 {kind} 读数据：给文件路径，或字典的列表",
            en=f"cannot read rows from {kind}: pass a path or a list of dicts",
        )
    return source


def _objects_of_mapping(source: Mapping) -> Iterable:
    # The splits of a data set by name, or one row that was given without its list.
    splits = [key for key, value in source.items() if not isinstance(value, str | list | Mapping)]
    if len(splits) == len(source) == 1:
        return _objects(source[splits[0]])
    if splits and len(splits) == len(source):
        raise _several(splits)
    # The rows of a JSON file, still in the object around them.
    paths = [path for path, _ in layout.row_lists(source)]
    if len(paths) > 1:
        raise _several([path[-1] for path in paths])
    rows: Any = [source]
    if paths:
        rows = source
        for key in paths[0]:
            rows = rows[key]
    return rows


def _several(names: list) -> DataError:
    shown = named(names)
    call = f"dataset[{str(names[0])[:40]!r}]"
    return DataError(
        zh=f"有几组数据：{shown}，取其中一组，例如 {call}",
        en=f"there are several splits: {shown}. Pass one, for example {call}",
    )
