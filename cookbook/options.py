"""Declare the options that several commands have: `--home` and `--jobs`.

For the command line, `python -m cookbook room` and `python -m cookbook serve`.
"""

import argparse
import os
from pathlib import Path

from cookbook import paths
from cookbook.environment import value_of
from cookbook.i18n import tr

MAX_JOBS = 256


def add_home(command: argparse.ArgumentParser) -> None:
    """Add `--home`, which `home_of` reads."""
    command.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        help=tr(
            "数据目录（默认 COOKBOOK_HOME 或 .cookbook）",
            "data folder (default: COOKBOOK_HOME or .cookbook)",
        ),
    )


def home_of(args: argparse.Namespace) -> Path:
    """Return the data folder that a command line names, or else that of the environment."""
    folder: Path = args.home or paths.home()
    return folder.expanduser().resolve()


def add_jobs(command: argparse.ArgumentParser) -> None:
    """Add `--jobs`, how many jobs train at the same time."""
    command.add_argument(
        "--jobs",
        type=_jobs,
        metavar="N",
        default=value_of("COOKBOOK_JOBS", os.environ) or None,
        help=tr(
            "最多同时训练几个任务（默认 COOKBOOK_JOBS；没有设时本机 1 个，集群最多 64 个）",
            "jobs that train at the same time, at most (default: COOKBOOK_JOBS, else 1 on this "
            "machine and 64 on a cluster)",
        ),
    )


def _jobs(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_JOBS:
        return int(text)
    raise argparse.ArgumentTypeError(
        tr(
            f"{text!r}：写 1 到 {MAX_JOBS} 之间的整数",
            f"{text!r}: give a whole number from 1 to {MAX_JOBS}",
        )
    )
