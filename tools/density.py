"""Print how dense the code is: lines, comment share, syntax nodes a line, long functions, import cycles.

    python tools/density.py [FOLDER]      default: cookbook

Syntax nodes are those of Python's own parser, each counted on the line where it begins. Lines with fewer
than four (a bracket, an `else`, a docstring) are left out, so that they cannot make dense code look calm.
Comment lines hold a comment and nothing else. A function's length runs from its first line to its last.
"""

import argparse
import ast
import io
import sys
import tokenize
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

LONG = 40  # lines from which on a function is listed
FEWEST_NODES = 4  # lines with fewer do not count


@dataclass
class Density:
    """What was counted in a set of files."""

    lines: int = 0
    comment_lines: int = 0
    wide_lines: int = 0
    nodes: list[int] = field(default_factory=list)  # of each line that begins any
    functions: list[tuple[int, str]] = field(default_factory=list)  # (lines, where)

    def percentile(self, share: float) -> int:
        """Return the number of syntax nodes that this share of the lines does not exceed."""
        ordered = sorted(self.nodes)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def count_file(path: Path, density: Density) -> None:
    """Add one file to `density`."""
    source = path.read_text(encoding="utf-8")
    rows = source.splitlines()
    density.lines += len(rows)
    density.wide_lines += sum(len(row) > 100 for row in rows)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        alone = token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
        density.comment_lines += alone
    tree = ast.parse(source)
    per_line: Counter[int] = Counter()
    _count_nodes(tree, 0, per_line)
    density.nodes += [n for line, n in per_line.items() if line and n >= FEWEST_NODES]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            density.functions.append((length, f"{path}:{node.lineno} {node.name}"))


def _count_nodes(node: ast.AST, line: int, per_line: Counter[int]) -> None:
    """Count the node and all below it; a node without a line of its own counts on its parent's."""
    line = getattr(node, "lineno", line)
    per_line[line] += 1
    for child in ast.iter_child_nodes(node):
        _count_nodes(child, line, per_line)


def imports_of(path: Path, package: Path) -> set[str]:
    """Return the modules of `package` that `path` imports while it is itself imported, by dotted name.

    `from package.part import name` counts as an import of `package.part.name` where that is a module, else of
    `package.part`.
    """
    root = package.parent
    found = set()
    for node in _top_level(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = _module_path(root, inner) is not None
                found.add(inner if is_module else node.module)
    return {name for name in found if _module_path(root, name) is not None}


def _top_level(tree: ast.Module) -> list[ast.stmt]:
    """Return the statements that run at import, those inside functions and TYPE_CHECKING left out."""
    statements = []
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        statements.append(node)
    return statements


def _module_path(root: Path, name: str) -> Path | None:
    path = root.joinpath(*name.split("."))
    if (path / "__init__.py").is_file():
        return path / "__init__.py"
    path = path.with_suffix(".py")
    return path if path.is_file() else None


def cycles(package: Path) -> list[list[str]]:
    """Return the groups of modules that import each other, found as strongly connected components.

    Importing `package.part.module` also runs `package/part/__init__.py`, but a module may rely on its own package
    being half imported, so parents are not counted.
    """
    root = package.parent
    graph = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[name] = imports_of(path, package)
    return [sorted(group) for group in _components(graph) if len(group) > 1]


def _components(graph: dict[str, set[str]]) -> list[set[str]]:
    reach = {name: _reachable(graph, name) for name in graph}
    groups: list[set[str]] = []
    for name in graph:
        group = {name} | {other for other in reach[name] if name in reach.get(other, ())}
        if group not in groups:
            groups.append(group)
    return groups


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph.get(name, ())
    return seen


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("cookbook"))
    parser.add_argument("--by-file", action="store_true", help="one line for each file")
    args = parser.parse_args(argv)
    paths = sorted(args.folder.rglob("*.py")) if args.folder.is_dir() else [args.folder]
    total = Density()
    for path in paths:
        count_file(path, total)
        if args.by_file:
            own = Density()
            count_file(path, own)
            share = own.comment_lines / max(1, own.lines)
            figures = (
                f"{own.lines:5} lines  p90 {own.percentile(0.9):3}  p99 {own.percentile(0.99):3}"
            )
            print(f"{figures}  comments {share:5.1%}  over 100 columns {own.wide_lines:3}  {path}")
    lengths = sorted(length for length, _ in total.functions)
    print(f"files {len(paths)}, lines {total.lines}, over 100 columns {total.wide_lines}")
    print(f"comment lines {total.comment_lines / total.lines:.1%}")
    print(f"syntax nodes a line: p90 {total.percentile(0.9)}, p99 {total.percentile(0.99)}")
    print(
        f"functions {len(lengths)}, median {lengths[len(lengths) // 2]} lines, longest {lengths[-1]}"
    )
    for length, where in sorted(total.functions, reverse=True):
        if length > LONG:
            print(f"  {length:4} lines  {where}")
    found = cycles(args.folder) if args.folder.is_dir() else []
    print(f"import cycles {len(found)}")
    for group in found:
        print("  " + " ".join(group))
    return 0


if __name__ == "__main__":
    sys.exit(main())
