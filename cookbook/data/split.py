"""Split rows into a training and a validation part.

Rows that are the same, or nearly, always end in the same part: a validation loss that was measured
on what the model has learned by heart would look too good.
"""

import random
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from cookbook.data.check import load
from cookbook.data.rows import listed
from cookbook.errors import ArgumentError, DataError
from cookbook.i18n import tr
from cookbook.params import validation_rows

Parts = tuple[list[dict], list[dict]]


def split(
    rows: Iterable[dict],
    validation: float | str | Path | Sequence[dict] = 0.1,
    seed: int = 42,
) -> Parts:
    """Return (training rows, validation rows).

    Args:
        validation: the share to hold out, chosen at random; or a file or rows to validate on, and
            then those of `rows` that are among them, exactly or nearly, are left out of the
            training part.
        seed: of the random choice; the same rows and seed give the same parts.

    Raises:
        ValueError: the share is not in [0, 1).
        DataError: the validation file has errors, or has every row; `rows` is a path.

    Warns:
        UserWarning: there are too few rows to hold any out.
    """
    rows = listed(rows)
    if not isinstance(validation, int | float):
        given = load(validation, max_tokens=None)
        return _without(rows, given), given
    if not 0 <= validation < 1:
        raise ArgumentError(
            zh=f"验证集比例 {validation} 应在 0 与 1 之间",
            en=f"the validation share {validation} must be in [0, 1)",
        )
    parts = _by_share(rows, validation, seed)
    if validation and not parts[1]:
        warnings.warn(too_few(len(rows)), stacklevel=2)
    return parts


def too_few(rows: int) -> str:
    """Return the warning for so few rows that the share to hold out comes to nothing."""
    return tr(
        f"切分后太少：{rows} 条数据里留不出验证集，看不出有没有过拟合。"
        "补充数据，或另给一个验证文件",
        f"too few rows to split: of {rows} rows none can be held out, so overfitting will not "
        "show. Add rows, or give a validation file",
    )


def _without(rows: Sequence[dict], validation: Sequence[dict]) -> list[dict]:
    from cookbook.data import near_duplicates  # loads numpy

    # Kept out of training, not of validation: that file was chosen on purpose.
    shared = near_duplicates.overlap(rows, validation)
    in_both = {i for i, _, _ in shared}
    train = [row for i, row in enumerate(rows) if i not in in_both]
    if not train:
        raise DataError(
            zh=f"训练集是空的：{len(rows)} 条数据都在验证集里",
            en=f"nothing is left to train on: all {len(rows)} rows are in the validation set",
        )
    return train


def _by_share(rows: Sequence[dict], share: float, seed: int) -> Parts:
    from cookbook.data import near_duplicates  # loads numpy

    groups = near_duplicates.groups(rows)
    random.Random(seed).shuffle(groups)
    most = validation_rows(len(rows), share)
    # Where every group is larger than the share, more is held out than asked for, rather than
    # nothing.
    if most and len(groups) > 1:
        most = max(most, min(map(len, groups)))
    train: list[dict] = []
    validation: list[dict] = []
    for group in groups:
        size = len(validation) + len(group)
        # A single group would leave nothing to train on.
        fits = size <= most and len(groups) > 1
        part = validation if fits else train
        part.extend(rows[i] for i in group)
    return train, validation
