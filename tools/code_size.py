"""Counts the lines of code of both packages: `python tools/code_size.py [FOLDER]`.

A line counts if it holds code: docstrings, comments and blank lines do not. Functions longer than a
screen are listed.
"""

import ast
import io
import sys
import tokenize
from pathlib import Path

SCREEN = 50
SKIPPED = (
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
)


def docstring_lines(node: ast.AST) -> set[int]:
    """Returns the lines of a node's docstring."""
    body = getattr(node, "body", None)
    first = body[0] if isinstance(body, list) and body else None
    if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
        return set(range(first.lineno, first.end_lineno + 1))
    return set()


def code_lines(source: str) -> set[int]:
    """Returns the numbers of the lines that hold code."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SKIPPED:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return lines - {n for node in ast.walk(ast.parse(source)) for n in docstring_lines(node)}


def main(root: Path) -> None:
    """Prints the lines of each module and package, and long functions."""
    for package in ("lib", "ladder"):
        total = 0
        for path in sorted((root / package).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            lines = code_lines(source)
            total += len(lines)
            print(f"{len(lines):6,}  {path.relative_to(root)}")
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    own = set(range(node.lineno, node.end_lineno + 1))
                    if (length := len(own - docstring_lines(node))) > SCREEN:
                        print(f"        line {node.lineno}: {node.name} has {length} lines")
        print(f"{total:6,}  {package}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
