"""One token of a rule's source changed: another sign, another operator, a missing term, a wider intermediate."""

from __future__ import annotations

import ast
import copy
import inspect
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["mutants"]

FUNCTIONS = {"begin", "element", "finish", "fold", "fold_start", "between"}
_BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
_COMPARE = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
_CALLS = {"madd": "nmadd", "nmadd": "madd"}
CHANGES = 5


def mutants(module: types.ModuleType) -> Iterator[tuple[str, types.ModuleType]]:
    """(what was changed, the changed module) for every place of a rule's functions that an operator fits."""
    tree = ast.parse(inspect.getsource(module))
    places = [
        (function.name, position)
        for function in tree.body
        if isinstance(function, ast.FunctionDef) and _is_rule_function(function.name)
        for position in range(len(list(ast.walk(function))))
    ]
    for name, position in places:
        for change in range(CHANGES):
            changed = copy.deepcopy(tree)
            function = next(f for f in changed.body if isinstance(f, ast.FunctionDef) and f.name == name)
            text = _change(list(ast.walk(function))[position], change)
            if text:
                yield f"{name}: {text}", _executed(module, changed)


def _is_rule_function(name: str) -> bool:
    return name.lstrip("_").split("_")[0] in FUNCTIONS or name in FUNCTIONS


def _change(node: ast.AST, change: int) -> str:
    """Change a node in place; what was done, or nothing where this change does not fit it."""
    line = f"line {getattr(node, 'lineno', 0)}"
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY and change == 0:
        before = type(node.op).__name__
        node.op = _BINARY[type(node.op)]()
        return f"{line}: {before} becomes {type(node.op).__name__}"
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE and change == 0:
        before = type(node.ops[0]).__name__
        node.ops[0] = _COMPARE[type(node.ops[0])]()
        return f"{line}: {before} becomes {type(node.ops[0]).__name__}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and change == 0:
        node.op = ast.UAdd()
        return f"{line}: a minus sign is lost"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _change_call(node, change, line)
    return ""


def _change_call(node: ast.Call, change: int, line: str) -> str:
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    if name in _CALLS and change == 0:
        node.func.id = _CALLS[name]
        return f"{line}: {name} becomes {_CALLS[name]}"
    if name in _CALLS and change == 1:
        node.args[3] = ast.BinOp(node.args[3], ast.Add(), node.args[3])
        return f"{line}: what {name} adds to is counted twice"
    if name in _CALLS and change == 2:
        node.args[1] = ast.BinOp(node.args[1], ast.Mult(), ast.Constant(0.5))
        return f"{line}: half the product of {name}"
    if name in _CALLS and change == 3:
        node.args[2], node.args[3] = node.args[3], node.args[2]
        return f"{line}: {name} takes its last two arguments in the other order"
    if name in _CALLS and change == 4:
        node.args[1] = ast.Call(ast.parse("np.float64", mode="eval").body, [node.args[1]], [])
        return f"{line}: the product of {name} is kept in double"
    if name == "sqrt" and change == 0:
        node.args[0] = ast.BinOp(node.args[0], ast.Mult(), ast.Constant(2.0))
        return f"{line}: the root of twice"
    if name == "mul" and change == 0:
        node.args[0] = ast.BinOp(node.args[0], ast.Mult(), ast.Constant(2.0))
        return f"{line}: twice a product"
    return ""


def _executed(module: types.ModuleType, tree: ast.Module) -> types.ModuleType:
    made = types.ModuleType(module.__name__)
    made.__dict__["__file__"] = module.__file__
    made.__dict__["__package__"] = module.__package__
    code: Any = compile(ast.fix_missing_locations(tree), str(module.__file__), "exec")
    exec(code, made.__dict__)  # the rule's own source, one token changed
    return made
