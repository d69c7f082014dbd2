"""Declare `python -m cookbook export`, with its help, and carry it out."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cookbook.i18n import tr
from cookbook.options import add_home

INTERRUPTED = 130  # as shells report a program that Ctrl-C has ended


def add(commands: Any, add_command: Callable[..., Any]) -> None:
    """Declare the command; `add_command` makes the parser of one."""
    command = add_command(
        commands,
        "export",
        tr("把微调好的模型带走", "take a tuned model home"),
        more=tr(
            "peft：适配器原样，vLLM 和 PEFT 能用，也能导入另一个服务。\n"
            "merged：合并进基础模型的 safetensors，vLLM 和 transformers 能用。\n"
            "gguf：一个文件，LM Studio 和 llama.cpp 能用。ollama：GGUF 加 Modelfile。\n"
            "每个文件夹里都有模型卡 README.md；导出后打印各个程序的运行命令。\n"
            "设了 COOKBOOK_SERVICE 时从课堂取模型，否则从数据目录取。",
            "peft: the adapter as it is, for vLLM, PEFT, and another service to import.\n"
            "merged: safetensors, merged into the base, for vLLM and transformers.\n"
            "gguf: one file for LM Studio and llama.cpp. ollama: the same with a Modelfile.\n"
            "Each folder has a model card, README.md; the commands that run it are printed.\n"
            "With COOKBOOK_SERVICE set the model is a room's, else the data folder's.",
        ),
        examples=[
            "my-task my-model --as merged",
            "my-task my-model --as gguf --type q8_0",
            "my-task my-model --as ollama",
            "my-task my-model --as peft --zip",
        ],
    )
    _add_arguments(command)
    # Read by the command line's `main`.
    command.set_defaults(carry_out=_export)


def _add_arguments(command: argparse.ArgumentParser) -> None:
    # As in `exports/take_home.py` and `exports/gguf_file.py`, which are not loaded for the help.
    command.add_argument(
        "model",
        metavar="MODEL",
        help=tr(
            "模型名（ft:…），或只有一个模型的任务名",
            "the model's name (ft:…), or a task's name that one model has",
        ),
    )
    command.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help=tr("放在哪里，不能已经存在", "where it goes; it must not exist yet"),
    )
    command.add_argument(
        "--as",
        dest="form",
        choices=["peft", "merged", "gguf", "ollama"],
        default="peft",
        help=tr("格式（默认 peft）", "the form (default: peft)"),
    )
    command.add_argument(
        "--type",
        choices=["f16", "q8_0"],
        default="f16",
        help=tr(
            "GGUF 的权重类型：f16，或约一半大的 q8_0（默认 f16）",
            "type of a GGUF's weights: f16, or q8_0 with about half the size (default: f16)",
        ),
    )
    command.add_argument(
        "--zip",
        action="store_true",
        help=tr("写成一个 DIR.zip，便于传给别人", "write one DIR.zip, to hand on"),
    )
    add_home(command)


def _export(args: argparse.Namespace) -> int:
    # Not before it is asked for: other commands need none of it.
    from cookbook.exports.take_home import export

    home = args.home.expanduser().resolve() if args.home else None
    try:
        done = export(args.model, args.folder, args.form, type=args.type, home=home, zip=args.zip)
    except KeyboardInterrupt:
        print(tr("已停止，没有留下文件", "stopped; nothing is left behind"), file=sys.stderr)
        return INTERRUPTED
    print(done)
    return 0
