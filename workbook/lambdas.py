"""Write functions as named LAMBDAs: as Excel shows them, and as it stores them in a file.

A file marks functions that are newer than the format with "_xlfn." and every name that LET or LAMBDA binds with
"_xlpm."; a parameter that may be omitted is "_xlop." where it is declared ([MS-XLSX] 2.2.2).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from openpyxl import Workbook
from openpyxl.formula import Tokenizer
from openpyxl.formula.tokenizer import Token
from openpyxl.workbook.defined_name import DefinedName

# Functions of these formulas that Excel 2010 does not know.
_NEWER = frozenset({"LAMBDA", "LET", "ISOMITTED", "MAP", "SEQUENCE", "HSTACK"})
LONGEST_COMMENT = 255  # characters; Excel does not open a file with a longer one


@dataclass(frozen=True)
class Function:
    """A function of a workbook.

    Attributes:
        name: its name in formulas.
        required, optional: its parameters.
        result: the formula of its result, as Excel shows it, without "=".
        steps: figures that the result uses, in the order of their computation: name → formula.
        inner: names that a LAMBDA within the formulas binds.
    """

    name: str
    required: tuple[str, ...]
    result: str
    optional: tuple[str, ...] = ()
    steps: Mapping[str, str] = field(default_factory=dict)
    inner: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The LAMBDA as Excel shows it, without "="."""
        return _call("LAMBDA", [*self.required, *(f"[{name}]" for name in self.optional), self._body])

    @property
    def stored(self) -> str:
        """The LAMBDA as a file holds it."""
        bound = {*self.required, *self.optional, *self.steps, *self.inner}
        parameters = [f"_xlpm.{name}" for name in self.required] + [f"_xlop.{name}" for name in self.optional]
        return _call("_xlfn.LAMBDA", [*parameters, stored(self._body, bound)])

    @property
    def arguments(self) -> str:
        """The parameters as Excel's help shows them: "model, context, [users]"."""
        return ", ".join([*self.required, *(f"[{name}]" for name in self.optional)])

    @property
    def _body(self) -> str:
        steps = [f"{name},{formula}" for name, formula in self.steps.items()]
        return _call("LET", [*steps, self.result]) if steps else self.result


def stored(formula: str, bound: Collection[str] = ()) -> str:
    """Return a formula as a file holds it.

    Args:
        formula: as Excel shows it, without "=".
        bound: the names that LET and LAMBDA bind in it or around it.
    """
    return "".join(_stored(token, bound) for token in Tokenizer("=" + formula).items)


def _stored(token: Token, bound: Collection[str]) -> str:
    value: str = token.value
    if token.type == Token.FUNC and value.removesuffix("(") in _NEWER:
        return f"_xlfn.{value}"
    return f"_xlpm.{value}" if _is_name(token) and value in bound else value


def _is_name(token: Token) -> bool:
    return bool(token.type == Token.OPERAND and token.subtype == Token.RANGE)


def distinct(function: Function, taken: Collection[str]) -> Function:
    """Return a function whose bound names are none of `taken`: those that are have an underscore at their end.

    In Excel a name that LET or LAMBDA binds comes before a name of the workbook; not so in IronCalc 0.9.
    """

    def new(name: str) -> str:
        return f"{name}_" if name.casefold() in taken else name

    bound = {*function.required, *function.optional, *function.steps, *function.inner}

    def rewritten(formula: str) -> str:
        tokens = Tokenizer("=" + formula).items
        return "".join(
            new(token.value) if _is_name(token) and token.value in bound else token.value for token in tokens
        )

    return Function(
        function.name,
        tuple(map(new, function.required)),
        rewritten(function.result),
        tuple(map(new, function.optional)),
        {new(name): rewritten(formula) for name, formula in function.steps.items()},
        tuple(map(new, function.inner)),
    )


def names_in(formula: str) -> set[str]:
    """Return the names and references in a formula, as Excel shows it, without "="."""
    return {token.value for token in Tokenizer("=" + formula).items if _is_name(token)}


def of_numbers(formula: str) -> str:
    """Return a formula in which MIN and MAX ignore texts, as for cells; a text that LET binds is an error for them."""
    text, open_calls = "", []
    for token in Tokenizer("=" + formula).items:
        if token.subtype == Token.OPEN:
            open_calls.append(token.value in ("MIN(", "MAX("))
            text += token.value + "HSTACK(" * open_calls[-1]
        elif token.subtype == Token.CLOSE:
            text += ")" * open_calls.pop() + token.value
        else:
            text += token.value
    return text


def define(workbook: Workbook, functions: Iterable[Function], comments: Mapping[str, str]) -> None:
    """Define the functions as names of a workbook.

    Args:
        comments: function → what Excel shows while its name is typed.
    """
    for function in functions:
        if len(comments[function.name]) > LONGEST_COMMENT:
            raise ValueError(f"the comment of {function.name} is longer than {LONGEST_COMMENT} characters")
        workbook.defined_names[function.name] = DefinedName(
            function.name, comment=comments[function.name], attr_text=function.stored
        )


def _call(function: str, arguments: Iterable[str]) -> str:
    return f"{function}({','.join(arguments)})"
