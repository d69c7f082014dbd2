"""Find the syntax error of a chat template, which is Jinja, without running any of it.

    check_syntax(name, text)        raise ModelError with the line and what is wrong there

A template that can be read may still fail, or never end: the engine tries it. Whoever needs this
imports it late, since it imports Jinja.
"""

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from cookbook.errors import ModelError

LONGEST = 500_000  # characters; that of the longest known is a twentieth of it


class _Generation(Extension):
    """Read `{% generation %}`, which transformers adds to Jinja."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def check_syntax(name: str, text: str) -> None:
    """Refuse a chat template that Jinja cannot read.

    Args:
        name: the base's, for the sentence.

    Raises:
        ModelError: saying where, and what is wrong there.
    """
    if len(text) > LONGEST:
        raise _unusable(name, f"> {LONGEST:,} 个字符", f"longer than {LONGEST:,} characters")
    # As transformers reads it. Autoescape is for pages, and changes nothing here.
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, loopcontrols],
    )
    try:
        # Not compiled: that computes what is constant, however large.
        environment.parse(text)
    except TemplateSyntaxError as error:
        reason = (error.message or "?").split("\n")[0][:120].rstrip(".")
        where = error.lineno
        raise _unusable(name, f"第 {where} 行，{reason}", f"line {where}, {reason}") from error
    except RecursionError as error:
        raise _unusable(name, "嵌套太深", "nested too deeply") from error


def _unusable(name: str, zh: str, en: str) -> ModelError:
    return ModelError(
        zh=f"基础模型 {name} 的对话模板（chat template）有语法错误，不能用（{zh}）："
        "重新下载它的小文件，或换一个来源",
        en=f"the chat template of the base model {name} has a syntax error and cannot be used "
        f"({en}): download its small files again, or choose another source",
    )
