"""The package's own texts, read from its source: which are Chinese, which English, which alone.

    texts.of_package("zh")      the Chinese texts; what is filled in divides them
    texts.alone(path)           Chinese literals of a module that have no English ones beside them

A text is in two languages where its Chinese literal is

    the first argument of `tr`, or a keyword `zh=` or `…_zh=`;
    given or appended to a name `zh` or `…_zh`, or in a function of such a name;
    followed by the English one: in a tuple, a list, a call, or as a key and its value.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path

from jinja2 import Environment, TemplateSyntaxError, nodes

import cookbook

PACKAGE = Path(cookbook.__file__).parent
HAN = re.compile("[\u4e00-\u9fff]")
ALONE = "alone"
_LANGUAGES = {"zh": "zh", "chinese": "zh", "en": "en", "english": "en"}
Found = tuple[int, str, str]  # line, "zh", "en" or ALONE, text


@cache
def found(path: Path) -> list[Found]:
    """Return the texts of a module: all English ones that belong to a Chinese one, all Chinese."""
    source = path.read_text(encoding="utf-8")
    # Many modules have no Chinese, and a tree takes long to walk.
    return list(_walk(ast.parse(source), "")) if HAN.search(source) else []


@cache
def of_package(language: str) -> frozenset[str]:
    """Return the package's texts in a language; an f-string gives what is between its fields."""
    modules = sorted(PACKAGE.rglob("*.py"))
    return frozenset(text for path in modules for _, of, text in found(path) if of == language)


def alone(path: Path) -> list[tuple[int, str]]:
    """Return (line, text) of each Chinese literal of a module that has no English one."""
    return [(line, text) for line, language, text in found(path) if language == ALONE]


def _walk(node: ast.AST, language: str) -> Iterator[Found]:
    """Yield the texts of a node; `language` is what is known of them, "" where nothing is."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return  # a docstring
        case ast.Constant(value=str(text)):
            yield from _literal(text, node.lineno, language)
            return
        case ast.Call():
            yield from _call(node, language)
            return
        case ast.Tuple(elts=row) | ast.List(elts=row):
            yield from _row(row, language)
            return
        case ast.Dict():
            for key, value in zip(node.keys, node.values, strict=True):
                yield from _row([value] if key is None else [key, value], language)
            return
        case ast.Assign(targets=[ast.Name(id=name), *_]) | ast.FunctionDef(name=name):
            language = _named(name) or language
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
            language = _named(name) or language
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, language)


def _call(node: ast.Call, language: str) -> Iterator[Found]:
    match node.func:
        case ast.Name(id="tr") if len(node.args) == 2:
            yield from _walk(node.args[0], "zh")
            yield from _walk(node.args[1], "en")
        case ast.Attribute(value=ast.Name(id=name), attr="append"):
            yield from _row(node.args, _named(name) or language)
        case _:
            yield from _walk(node.func, language)
            yield from _row(node.args, language)
    for keyword in node.keywords:
        yield from _walk(keyword.value, _named(keyword.arg or "") or language)


def _row(row: Sequence[ast.AST], language: str) -> Iterator[Found]:
    """Yield the texts of values side by side: a Chinese one and its English one may be there."""
    belongs = ""
    for value, following in zip_longest(row, row[1:]):
        known, belongs = belongs or language, ""
        if not known and _is_chinese(value) and _is_text(following) and not _is_chinese(following):
            known, belongs = "zh", "en"
        yield from _walk(value, known)


def _literal(text: str, line: int, language: str) -> Iterator[Found]:
    if not language and ("{{" in text or "{%" in text):
        try:
            template = Environment().parse(text)
        except TemplateSyntaxError:
            pass  # braces of another kind
        else:
            yield from _template(template, line)
            return
    if language or HAN.search(text):
        yield line, language or ALONE, text


def _template(template: nodes.Template, line: int) -> Iterator[Found]:
    """Yield the texts of a Jinja2 template: those of its `tr`, and the Chinese outside."""
    known = set()
    for call in template.find_all(nodes.Call):
        if getattr(call.node, "name", "") == "tr":
            for language, text in zip(("zh", "en"), call.args, strict=True):
                for part in [text, *text.find_all(nodes.Const)]:
                    known.add(id(part))
                    if isinstance(part, nodes.Const):
                        yield line, language, str(part.value)
    for kind in (nodes.Const, nodes.TemplateData):
        for part in template.find_all(kind):
            text = str(part.as_const())
            if id(part) not in known and HAN.search(text):
                yield line, ALONE, text


def _named(name: str) -> str:
    """Return the language that a name ends in; "" for other names."""
    return _LANGUAGES.get(name.lower().rpartition("_")[2], "")


def _is_text(node: ast.AST | None) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    return isinstance(node, ast.JoinedStr | ast.IfExp | ast.BinOp)


def _is_chinese(node: ast.AST | None) -> bool:
    if not _is_text(node):
        return False
    constants = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
    return any(isinstance(value, str) and HAN.search(value) for value in constants)
