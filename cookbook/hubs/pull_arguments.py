"""Declare `python -m cookbook pull`, with its help; command.py carries it out."""

import argparse
from collections.abc import Callable
from typing import Any

from cookbook.i18n import tr


def add(commands: Any, add_command: Callable[..., Any]) -> None:
    """Declare the command; `add_command` makes the parser of one."""
    command = add_command(
        commands,
        "pull",
        tr("下载一个基础模型", "download a base model"),
        more=tr(
            "先显示大小和磁盘空间，再下载；断了再运行一次，从断点继续；每个文件都校验。\n"
            "放在 Hugging Face 或 ModelScope 通常的缓存里，别的工具也找得到。\n"
            "连不上 huggingface.co 时：加 --from modelscope，或设 HF_ENDPOINT 用镜像。\n"
            "要申请的模型：设 HF_TOKEN（ModelScope 用 MODELSCOPE_API_TOKEN）。",
            "Shows the size and the free disk, then downloads. After a break, run it again: it\n"
            "goes on from there. Each file is verified. It goes into the usual cache of Hugging\n"
            "Face or ModelScope, where other tools find it, too.\n"
            "If huggingface.co is out of reach: --from modelscope, or HF_ENDPOINT for a mirror.\n"
            "For a gated model set HF_TOKEN (MODELSCOPE_API_TOKEN for ModelScope).",
        ),
        examples=[
            "Qwen/Qwen2.5-0.5B-Instruct",
            "Qwen/Qwen2.5-0.5B-Instruct --from modelscope",
            "https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct",
        ],
    )
    _add_arguments(command)
    # Read by the command line's `main`.
    command.set_defaults(carry_out=_pull)


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "model",
        metavar="MODEL",
        help=tr(
            "模型名（组织/名字），或它的网页地址",
            "the model's name (ORGANIZATION/NAME), or the address of its page",
        ),
    )
    command.add_argument(
        "--from",
        dest="source",
        choices=["huggingface", "modelscope"],
        help=tr("从哪里下载（默认 huggingface）", "where from (default: huggingface)"),
    )
    command.add_argument(
        "--revision",
        metavar="REV",
        help=tr("分支、标签或提交（默认最新）", "branch, tag or commit (default: the newest)"),
    )


def _pull(args: argparse.Namespace) -> int:
    # Not before it is asked for: other commands need none of it.
    from cookbook.hubs import command

    return command.run(args.model, args.source, args.revision)
