"""Read a Parquet file, as data sets on Hugging Face are stored. It takes pyarrow, an extra."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cookbook.data.tables import table_size
from cookbook.data.tables.frame import of_columns
from cookbook.data.tables.table import Table
from cookbook.errors import DataError

ROWS_AT_ONCE = 1_000


def read(content: bytes, path: Path) -> Table:
    """Return what a Parquet file holds; its rows count from 1.

    Raises:
        DataError: pyarrow is not installed; the file is too large or broken.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            zh=f"读 {path.name} 要用 pyarrow：pip install pyarrow",
            en=f"reading {path.name} requires pyarrow: pip install pyarrow",
        ) from error
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
        names = file.schema_arrow.names
        if file.metadata.num_rows * len(names) > table_size.MAX_CELLS:
            raise table_size.too_large("单元格", "its cells")
        return of_columns(names, _rows(file, names), path)
    except DataError:
        raise
    except Exception as error:  # pyarrow raises errors of several families
        raise DataError(
            zh=f"{path.name} 坏了，或者不完整：请重新下载",
            en=f"{path.name} is damaged or incomplete: download it again",
        ) from error


def _rows(file: Any, names: list[str]) -> Iterator[tuple[object, ...]]:
    unpacked = 0
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
        unpacked += batch.nbytes
        # One long text can be in every cell of a small file.
        if unpacked > table_size.MAX_UNPACKED:
            raise table_size.too_large("文字", "its texts")
        columns = [batch.column(index).to_pylist() for index in range(len(names))]
        yield from zip(*columns, strict=True)
