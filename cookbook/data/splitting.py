"""Cut rows into a training and a validation part."""

import random
from collections.abc import Sequence
from pathlib import Path

from cookbook.data.checks import load, row_key
from cookbook.data.similar import Index, groups
from cookbook.errors import DataError, say
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
        DataError: too few rows are left on one side; the validation file has errors.
    """
    if not isinstance(validation, int | float):
        held = load(validation) if isinstance(validation, str | Path) else list(validation)
        kept = _without(rows, held)
    else:
        if not 0 <= validation < 1:
            raise ValueError(
                say(f"验证集比例 {validation} 应在 0 与 1 之间", f"validation share {validation} must be in [0, 1)")
            )
        held, kept, wanted = [], [], validation_rows(len(rows), validation)
        shuffled = groups(rows)
        random.Random(seed).shuffle(shuffled)
        for group in shuffled:
            side = held if len(held) + len(group) <= wanted else kept
            side.extend(rows[i] for i in group)
    if not kept or (validation and not held):
        raise DataError(
            say(
                f"切分后太少：{len(rows)} 条数据分成训练 {len(kept)} 条、验证 {len(held)} 条。补充数据，或换一个验证比例",
                f"too few rows after the split: {len(rows)} rows give {len(kept)} to train and {len(held)} to validate. "
                "Add rows or choose another share",
            )
        )
    return kept, held


def _without(rows: Sequence[dict], held: Sequence[dict]) -> list[dict]:
    exact = {row_key(row["messages"]) for row in held}
    near = Index()
    for row in held:
        near.add(True, row)
    return [row for row in rows if row_key(row["messages"]) not in exact and not near.find(row)]
