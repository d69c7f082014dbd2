"""Cut rows into a training and a validation part."""

import random
import warnings
from collections.abc import Sequence
from pathlib import Path

from cookbook.data.check import load
from cookbook.errors import ArgumentError, DataError
from cookbook.i18n import tr
from cookbook.params import validation_rows


def split(
    rows: Sequence[dict], validation: float | str | Path | Sequence[dict] = 0.1, seed: int = 42
) -> tuple[list[dict], list[dict]]:
    """Shuffle and cut into (train, validation). Rows that are the same, or nearly, always end on the same side.

    Args:
        validation: the share to hold back, or a file or rows to validate on; then those of `rows` that stand in it
            too, exactly or nearly, are left out of the training part.

    Raises:
        ValueError: the share is not in [0, 1).
        DataError: the validation file has errors, or holds every row.

    Warns:
        UserWarning: there are too few rows to hold any back.
    """
    from cookbook.data import near_duplicates as similar

    if not isinstance(validation, int | float):
        held = load(validation, max_tokens=None)
        both = {i for i, *_ in similar.overlap(rows, held)}
        kept = [row for i, row in enumerate(rows) if i not in both]
        if not kept:
            raise DataError(
                zh=f"训练集是空的：{len(rows)} 条数据都在验证集里",
                en=f"nothing is left to train on: all {len(rows)} rows stand in the validation set",
            )
        return kept, held
    if not 0 <= validation < 1:
        raise ArgumentError(
            zh=f"验证集比例 {validation} 应在 0 与 1 之间",
            en=f"validation share {validation} must be in [0, 1)",
        )
    wanted = validation_rows(len(rows), validation)
    shuffled = similar.groups(rows)
    random.Random(seed).shuffle(shuffled)
    if wanted and len(shuffled) > 1 and all(len(group) > wanted for group in shuffled):
        wanted = min(map(len, shuffled))  # more than asked for, rather than none
    held, kept = [], []
    for group in shuffled:
        side = held if len(held) + len(group) <= wanted and len(shuffled) > 1 else kept
        side.extend(rows[i] for i in group)
    if validation and not held:
        warnings.warn(too_few(len(rows)), stacklevel=2)
    return kept, held


def too_few(rows: int) -> str:
    """What is to be said when the share to hold back comes to nothing."""
    return tr(
        f"切分后太少：{rows} 条数据里留不出验证集，看不出有没有过拟合。补充数据，或另给一个验证文件",
        f"too few rows after the split: of {rows} rows none is left to validate on, so overfitting will not show. Add "
        "rows or give a validation file",
    )
