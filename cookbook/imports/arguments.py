"""Declare `python -m cookbook import`, with its help."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cookbook.i18n import tr
from cookbook.options import add_home, home_of


def add(commands: Any, add_command: Callable[..., Any]) -> None:
    """Declare the command; `add_command` makes the parser of one."""
    command = add_command(
        commands,
        "import",
        tr("导入一个在别处训练的模型", "bring in a model that was trained elsewhere"),
        more=tr(
            "PEFT 的 LoRA 适配器：LLaMA-Factory、Unsloth、ms-swift 训练出的文件夹，或者同事用\n"
            "export --zip 发来的 zip。先检查基础模型、每一层的形状和权重，再加进数据目录；\n"
            "服务在运行也可以，马上就能用。pickle（.bin、.pt）不读。",
            "A LoRA adapter of PEFT: the folder that LLaMA-Factory, Unsloth or ms-swift has\n"
            "written, or a zip that a colleague made with export --zip. Base, shapes and weights\n"
            "are checked before it is added to the data folder. A service may run meanwhile, and\n"
            "can answer with it at once. Pickles (.bin, .pt) are not read.",
        ),
        examples=[
            "colleague.zip",
            "LLaMA-Factory/saves/lora --name orders --base Qwen/Qwen2.5-0.5B-Instruct",
        ],
    )
    command.add_argument(
        "source",
        type=Path,
        metavar="DIR_OR_ZIP",
        help=tr("PEFT 文件夹，或它的 zip", "a PEFT folder, or a zip of one"),
    )
    command.add_argument(
        "--name",
        metavar="NAME",
        help=tr(
            "模型名里的任务名（默认取它自己的名字）",
            "the task's name in the model's (default: what it is called)",
        ),
    )
    command.add_argument(
        "--base",
        metavar="BASE",
        help=tr(
            "它的基础模型（默认看它的设置，再看形状）",
            "the base that it is for (default: by its settings, else by its shapes)",
        ),
    )
    add_home(command)
    # Read by the command line's `main`.
    command.set_defaults(carry_out=_import)


def _import(args: argparse.Namespace) -> int:
    # Not before it is asked for: other commands need none of it.
    from cookbook.imports import import_model

    found = import_model(args.source, name=args.name, base=args.base, home=home_of(args))
    print(found)
    print(tr("提问：", "ask it: ") + f'client.chat.completions.create(model="{found.model}", …)')
    return 0
