"""Print the table of docs/real_base.md: what a training of each base needs on which machine.

    python tools/memory_table.py [--lang zh]

Each cell is the plan of `cookbook/memory` for the standard preset, for rows of so many tokens: the
same figures that a job's first event and the panel show. `tests/unit/test_memory_table.py` checks
that the pages hold this table.
"""

import argparse

from cookbook import memory, shapes
from cookbook.machine import GB, Machine, in_gb
from cookbook.params import PRESETS

TOKENS = (50, 1000, 4096)
ROWS = 100
# Titles in English and Chinese; of a laptop's memory the system and a browser take 3 GB or more.
MACHINES = [
    ("8 GB laptop", "8 GB 笔记本", Machine("cpu", 5 * GB, 8 * GB, bfloat16=True)),
    ("16 GB laptop", "16 GB 笔记本", Machine("cpu", 12 * GB, 16 * GB, bfloat16=True)),
    ("24 GB machine", "24 GB 机器", Machine("cpu", 20 * GB, 24 * GB, bfloat16=True)),
    (
        "16 GB GPU",
        "16 GB 显卡",
        Machine("cuda", 31 * GB // 2, 16 * GB, bfloat16=True, four_bit=True),
    ),
    (
        "24 GB GPU",
        "24 GB 显卡",
        Machine("cuda", 47 * GB // 2, 24 * GB, bfloat16=True, four_bit=True),
    ),
]
BASES = ["0.5B", "1.5B", "3B", "7B", "14B"]


def cell(shape: shapes.Shape, tokens: int, machine: Machine) -> str:
    """Return what the training needs there: GB, and 4 bit where the plan takes it."""
    hp = PRESETS["standard"].to_dict()
    plan = memory.choose(shape, [tokens] * ROWS, hp, machine)
    if not plan.fits:
        return "–"
    four_bit = ", 4 bit" if plan.weights == memory.NF4 else ""
    return in_gb(plan.needed) + four_bit


def table(lang: str) -> str:
    """Return the table in Markdown."""
    chinese = lang == "zh"
    heads = ["Qwen2.5", "每条 token" if chinese else "tokens a row"]
    for english_title, chinese_title, _ in MACHINES:
        heads.append(chinese_title if chinese else english_title)
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for size in BASES:
        shape = shapes.published(f"Qwen/Qwen2.5-{size}-Instruct")
        if shape is None:
            raise SystemExit(f"no sizes are known of {size}")
        for tokens in TOKENS:
            cells = [cell(shape, tokens, machine) for _, _, machine in MACHINES]
            lines.append("| " + " | ".join([size, f"{tokens:,}", *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lang", choices=("en", "zh"), default="en")
    print(table(parser.parse_args().lang))


if __name__ == "__main__":
    main()
