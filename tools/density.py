"""Print how dense code is: lines, comments, syntax nodes a line, long functions, import circles.

    python tools/density.py [FOLDER or FILE]      default: cookbook
    python tools/density.py --by-file             one line for each file first

Syntax nodes are those of Python's own parser, each counted on the line where it begins. Lines with
fewer than four (a bracket, an `else`, a docstring) are left out, so that they cannot make dense
code look calm. Comment lines hold a comment and nothing else. A function's length runs from its
first line to its last.
"""

import argparse
import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

COLUMNS = 100
LONG_FUNCTION = 40  # lines from which on a function is listed
FEWEST_NODES = 4  # lines with fewer do not count

Graph = dict[str, set[str]]  # module -> the modules that it imports


@dataclass
class Density:
    """What was counted in a set of files."""

    files: int = 0
    lines: int = 0
    comment_lines: int = 0
    wide_lines: int = 0
    nodes: list[int] = field(default_factory=list)  # of each line that begins enough of them
    functions: list[tuple[int, str]] = field(default_factory=list)  # (lines, where)

    def add(self, path: Path) -> None:
        """Count one file."""
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        self.files += 1
        self.lines += len(lines)
        self.wide_lines += sum(len(line) > COLUMNS for line in lines)
        self.comment_lines += _comment_lines(source)
        tree = ast.parse(source)
        per_line: Counter[int] = Counter()
        _count_nodes(tree, 0, per_line)
        self.nodes += [n for line, n in per_line.items() if line and n >= FEWEST_NODES]
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                last = node.end_lineno or node.lineno
                where = f"{path}:{node.lineno} {node.name}"
                self.functions.append((last - node.lineno + 1, where))

    @property
    def comment_share(self) -> float:
        return self.comment_lines / max(1, self.lines)

    def percentile(self, share: float) -> int:
        """Return the number of syntax nodes that this share of the lines does not exceed."""
        if not self.nodes:
            return 0
        ordered = sorted(self.nodes)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _comment_lines(source: str) -> int:
    count = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip():
            count += 1
    return count


def _count_nodes(node: ast.AST, line: int, per_line: Counter[int]) -> None:
    """Count the node and all below it; one without a line of its own counts on its parent's."""
    line = getattr(node, "lineno", line)
    per_line[line] += 1
    for child in ast.iter_child_nodes(node):
        _count_nodes(child, line, per_line)


def circles(package: Path) -> list[list[str]]:
    """Return the groups of modules of `package` that import each other, directly or by others.

    Only imports that run when a module is imported count. Importing `package.part.module` also runs
    `package/part/__init__.py`, but a module may rely on its own package being half imported, so
    parents are not counted.
    """
    graph: Graph = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[name] = set(_imports(path, package.parent))
    reach = {name: _reachable(graph, name) for name in graph}
    groups: list[list[str]] = []
    for name in graph:
        # Two modules are in one circle if each can be reached from the other.
        group = sorted({name} | {other for other in reach[name] if name in reach[other]})
        if len(group) > 1 and group not in groups:
            groups.append(group)
    return groups


def _imports(path: Path, root: Path) -> Iterator[str]:
    """Yield the modules below `root` that `path` imports while it is itself imported.

    `from package.part import name` counts as an import of `package.part.name` where that is a
    module, else of `package.part`.
    """
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if _is_module(root, name) else node.module for name in inner]
        yield from (name for name in names if _is_module(root, name))


def _is_module(root: Path, name: str) -> bool:
    path = root.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph.get(name, ())
    return seen & set(graph)


def print_file(path: Path) -> None:
    own = Density()
    own.add(path)
    columns = [
        f"{own.lines:5} lines",
        f"p90 {own.percentile(0.9):3}",
        f"p99 {own.percentile(0.99):3}",
        f"comments {own.comment_share:5.1%}",
        f"over {COLUMNS} columns {own.wide_lines:3}",
        str(path),
    ]
    print("  ".join(columns))


def print_total(total: Density) -> None:
    print(f"files {total.files}, lines {total.lines}, over {COLUMNS} columns {total.wide_lines}")
    print(f"comment lines {total.comment_share:.1%}")
    print(f"syntax nodes a line: p90 {total.percentile(0.9)}, p99 {total.percentile(0.99)}")
    if total.functions:
        lengths = sorted(lines for lines, _ in total.functions)
        median = lengths[len(lengths) // 2]
        print(f"functions {len(lengths)}, median {median} lines, longest {lengths[-1]}")
    for lines, where in sorted(total.functions, reverse=True):
        if lines > LONG_FUNCTION:
            print(f"  {lines:4} lines  {where}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("cookbook"))
    parser.add_argument("--by-file", action="store_true", help="one line for each file")
    args = parser.parse_args(argv)
    folder: Path = args.folder
    paths = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]
    total = Density()
    for path in paths:
        total.add(path)
        if args.by_file:
            print_file(path)
    print_total(total)
    if folder.is_dir():
        found = circles(folder)
        print(f"import circles {len(found)}")
        for group in found:
            print("  " + " ".join(group))
    return 0


if __name__ == "__main__":
    sys.exit(main())
