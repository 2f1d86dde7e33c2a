"""Small changes of a source file: an operator, a constant, an argument or a statement at a time."""

import ast
import copy
import difflib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

SWAPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
REVERSED = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}
PARTNERS = {"reduce_sum": "reduce_mean", "minimum": "maximum", "argmax": "argmin", "reduce_max": "reduce_min"}
PARTNERS |= {"sum": "mean", "min": "max", "floor": "ceil", "reduce_any": "reduce_all", "any": "all"}
PARTNERS |= {partner: name for name, partner in PARTNERS.items()}
# Calls whose arguments can be swapped without a change.
SYMMETRIC = {"minimum", "maximum", "min", "max", "hypot"}
# Calls that may be replaced by their first argument.
WRAPPERS = {
    "abs",
    "sqrt",
    "square",
    "sign",
    "stop_gradient",
    "clip_by_value",
    "clip",
    "softmax",
    "round",
    "rint",
    "exp",
}


@dataclass(frozen=True)
class Mutant:
    """One change of one file: the bytes from ``start`` to ``end`` become ``text``."""

    path: str
    line: int
    start: int
    end: int
    text: str
    functions: tuple[str, ...]

    def source(self) -> bytes:
        before = (ROOT / self.path).read_bytes()
        return before[: self.start] + self.text.encode() + before[self.end :]

    def diff(self) -> str:
        before, after = ((ROOT / self.path).read_text().splitlines(), self.source().decode().splitlines())
        lines = difflib.unified_diff(before, after, lineterm="", n=0)
        return "\n".join(f"    {line}" for line in lines if line[:2] not in ("--", "++", "@@"))

    def key(self) -> str:
        return f"{self.path}:{self.line}:{self.start}-{self.end}:{self.text}:{digest(ROOT / self.path)}"


def digest(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()[:10]


def alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""

    def changed(change: Callable[[Any], object]) -> ast.AST:
        new = copy.deepcopy(node)
        change(new)
        return new

    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in SWAPPED:
            yield changed(lambda new: setattr(new, "op", SWAPPED[type(op)]()))
        case ast.Compare(ops=[op]):
            for table in (SWAPPED, REVERSED):
                if type(op) in table:
                    yield changed(lambda new, table=table: setattr(new, "ops", [table[type(op)]()]))
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield node.operand
        case ast.IfExp():
            yield changed(lambda new: (setattr(new, "body", node.orelse), setattr(new, "orelse", node.body)))
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1) if value else ast.UnaryOp(ast.USub(), ast.Constant(1))
        case ast.Constant(value=float(value)):
            yield ast.Constant(2 * value if value else 1.0)
        case ast.Call(func=func, args=args):
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            starred = any(isinstance(argument, ast.Starred) for argument in args)
            if len(args) > 1 and not starred and name not in SYMMETRIC:
                yield changed(lambda new: new.args.__setitem__(slice(-2, None), [args[-1], args[-2]]))
            if name in PARTNERS:
                field = "attr" if isinstance(func, ast.Attribute) else "id"
                yield changed(lambda new: setattr(new.func, field, PARTNERS[name]))
            if name in WRAPPERS and args:
                yield args[0]
            elif name in WRAPPERS and isinstance(func, ast.Attribute):
                yield func.value


def mutants_of(path: str) -> list[Mutant]:
    """List every change of a file, in its order."""
    source = (ROOT / path).read_bytes()
    begins = [0]
    for line in source.splitlines(keepends=True):
        begins.append(begins[-1] + len(line))
    found: list[Mutant] = []

    def add(node: Any, text: str, functions: tuple[str, ...]) -> None:
        start, end = begins[node.lineno - 1] + node.col_offset, begins[node.end_lineno - 1] + node.end_col_offset
        if ast.unparse(ast.parse(text)) != ast.unparse(node):
            found.append(Mutant(path, node.lineno, start, end, text, functions))

    def visit(node: ast.AST, functions: tuple[str, ...], known: set[str]) -> None:
        if isinstance(node, ast.FunctionDef):
            functions, known = (*functions, node.name), {argument.arg for argument in node.args.args}
            given = [default for default in node.args.kw_defaults if default]
            children: list[ast.AST] = [*node.args.defaults, *given, *node.body]
        elif isinstance(node, ast.AnnAssign):
            children = [node.value] if node.value and "ClassVar" not in ast.unparse(node.annotation) else []
        elif isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)):
            return
        else:
            decorators = getattr(node, "decorator_list", [])
            children = [child for child in ast.iter_child_nodes(node) if child not in decorators]
        # Without a first assignment nothing runs: only those that change something that is there are left out.
        if isinstance(node, ast.AugAssign):
            add(node, "pass", functions)
        if isinstance(node, ast.Assign):
            names = {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
            if functions and names <= known:
                add(node, "pass", functions)
            known |= names
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and functions:
            add(node, "pass", functions)
        for new in alternatives(node):
            add(node, f"({ast.unparse(new)})", functions)
        for child in children:
            # A constant on its own is a docstring; a default that is not there is None.
            if child and not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
                visit(child, functions, known)

    visit(ast.parse(source), (), set())
    return found
