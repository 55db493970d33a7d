"""Formulas of a rule file: arithmetic on named values, and nothing that could do anything else."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final

import numpy as np

_BINARY: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "min": lambda *values: reduce(np.minimum, values),
    "max": lambda *values: reduce(np.maximum, values),
    "log10": np.log10,
    "sqrt": np.sqrt,
}
LONGEST: Final = 500
"""Characters of a formula; the longest of ours has 200."""


class Formula:
    """Numbers, names, ``+ - * / **``, parentheses, and the functions min, max, log10, sqrt.

    Raises
    ------
    ValueError
        When the text is anything else.
    """

    __slots__ = ("_tree", "names", "text")

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise ValueError(f"a formula has at most {LONGEST} characters")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"'{text}' is no formula") from error
        self.text = text
        self.names = frozenset(_names(self._tree, text))

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The result for named numbers or arrays; not a number where there is none (a root of less than nothing)."""
        with np.errstate(all="ignore"):
            return _value(self._tree, values)


def _names(node: ast.expr, text: str) -> set[str]:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float()):
            return set()
        case ast.Name(id=name):
            return {name}
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return _names(inner, text)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _names(left, text) | _names(right, text)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS and args:
            return {found for argument in args for found in _names(argument, text)}
    functions = ", ".join(_FUNCTIONS)
    raise ValueError(f"'{text}' is no formula; it may have numbers, names, + - * / ** and the functions {functions}")


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=number):
            return np.float64(number)  # type: ignore[arg-type]
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(operand=inner):
            return -_value(inner, values)
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name](*(_value(argument, values) for argument in args))
    raise AssertionError(node)
