"""A parser of command lines that speaks the reader's language: argparse's own words are English.

    parser = CommandParser(prog="python -m cookbook", description=…)

What argparse says of a wrong argument is translated by its phrases; one that is not known here,
such as of a later Python, stays as it is.
"""

import argparse
import sys
from typing import Any, NoReturn

from cookbook.i18n import language, tr

# argparse's phrases; a phrase that is a part of another comes after it.
_PHRASES_ZH = {
    "the following arguments are required: ": "缺少参数：",
    "unrecognized arguments: ": "没有这样的参数：",
    "expected one argument": "后面要写一个值",
    "expected at most one argument": "后面最多写一个值",
    "expected at least one argument": "后面至少写一个值",
    "ignored explicit argument ": "后面不能写值：",
    "ambiguous option: ": "不知道是哪个选项：",
    " could match ": " 可以是 ",
    "invalid int value: ": "不是整数：",
    "invalid float value: ": "不是数字：",
    "invalid choice: ": "没有这一项：",
    "choose from ": "可以用 ",
}


class CommandParser(argparse.ArgumentParser):
    """An `ArgumentParser`, and with it those of its commands, in the reader's language."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, add_help=False)
        self._positionals.title = tr("参数", "positional arguments")
        self._optionals.title = tr("选项", "options")
        explained = tr("显示这段说明", "show this help message and exit")
        self.add_argument("-h", "--help", action="help", help=explained)

    def format_usage(self) -> str:
        """Return how the command is called, in a line."""
        return _with_usage(super().format_usage())

    def format_help(self) -> str:
        """Return the whole help."""
        return _with_usage(super().format_help())

    def error(self, message: str) -> NoReturn:
        """Print how the command is called and what is wrong, and end with status 2."""
        self.print_usage(sys.stderr)
        if language() == "zh":
            message = _in_chinese(message)
        self.exit(2, tr(f"{self.prog}：{message}\n", f"{self.prog}: error: {message}\n"))


def _with_usage(text: str) -> str:
    # Later versions of Python put a colour before it.
    return text.replace("usage: ", tr("用法：", "usage: "), 1)


def _in_chinese(message: str) -> str:
    zh = message
    if message.startswith("argument "):
        zh = f"参数 {message.removeprefix('argument ')}"
    for english, chinese in _PHRASES_ZH.items():
        zh = zh.replace(english, chinese)
    return zh
