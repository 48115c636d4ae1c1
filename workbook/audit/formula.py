"""Parse formulas with openpyxl's tokenizer into functions, constants and references."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from openpyxl.formula import Tokenizer
from openpyxl.formula.tokenizer import Token, TokenizerError
from openpyxl.utils import FORMULAE

from workbook.audit.references import Area, Resolver, UnresolvedError, is_external, is_whole_line, relative_form

# Functions since Excel 2010 have this prefix in files, [MS-XLSX] 2.2.2; openpyxl's FORMULAE are the older ones.
_NEWER_PREFIX = "_XLFN."
_BUILT_IN_FUNCTIONS = FORMULAE | {"_XLWS.SORT", "_XLWS.FILTER", "ISFORMULA"}
_PREFIX = re.compile(r"^(?:_XLFN\.|_XLWS\.|_XLL\.|_XLUDF\.)+")
# These use the position of a cell, not its content.
_POSITION_FUNCTIONS = {"ROW", "ROWS", "COLUMN", "COLUMNS"}
_TEXT, _QUOTED, _BRACKETED = re.compile(r'"(?:[^"]|"")*"'), re.compile(r"'(?:[^']|'')*'"), re.compile(r"\[[^\[\]]*\]")
# Exponents of unit conversions by base: powers of 1000 and of 1024.
_UNIT_POWERS = {"10": range(-15, 16, 3), "2": range(-50, 51, 10)}


@dataclass(frozen=True)
class Form:
    """A formula independent of its cell; cells into which one formula was filled share the same form.

    Attributes:
        text: the formula in R1C1 notation.
        functions: Excel's built-in functions, in upper case and without prefix.
        foreign_functions: all others: from an add-in, a macro, or a LAMBDA defined as a name.
        constants: numbers other than 0, 1 and unit powers.
        has_whole_lines: it refers to whole columns or rows.
        is_external: it refers to another workbook.
        starts_program: it is a DDE link (program|topic!item).
        is_readable: False if the tokenizer cannot parse it.
        hyperlinks: the targets of its HYPERLINK calls; "" if computed.
    """

    text: str
    functions: frozenset[str] = frozenset()
    foreign_functions: frozenset[str] = frozenset()
    constants: tuple[str, ...] = ()
    has_whole_lines: bool = False
    is_external: bool = False
    starts_program: bool = False
    is_readable: bool = True
    hyperlinks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Formula:
    """A formula in a cell.

    Attributes:
        areas: the areas that it refers to.
        names: the keys of the names that it refers to.
        unresolved: its references to missing sheets, tables, columns or names.
    """

    form: Form
    areas: tuple[Area, ...] = ()
    names: tuple[tuple[str | None, str], ...] = ()
    unresolved: tuple[str, ...] = ()


class FormulaReader:
    """Parses formulas and shares one `Form` between equal ones."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._forms: dict[str, Form] = {}

    def read(self, text: str, sheet: str, row: int, column: int) -> Formula:
        """Parse the formula `text` (with "=") of the cell at `row` and `column` of `sheet`."""
        if _starts_program(text):
            return Formula(self._form(text, lambda: Form(text, starts_program=True)))
        tokens = _tokens(text)
        if tokens is None:
            return Formula(self._form(text, lambda: Form(text, is_readable=False)))
        form_text = "".join(
            relative_form(t.value, row, column) if _is_reference(t) else t.value
            for t in tokens
            if t.type != Token.WSPACE
        )
        form = self._form(form_text, lambda: _form(form_text, tokens))
        areas, names, unresolved = [], [], []
        for operand in _operands(text):
            try:
                found = self._resolver.areas(operand, sheet, row, column)
            except UnresolvedError as error:
                unresolved.append(str(error))
            else:
                if isinstance(found, list):
                    areas += found
                else:
                    names.append(found)
        for function in form.foreign_functions:
            key = self._resolver.name(function, sheet)
            if key:
                names.append(key)
        return Formula(form, tuple(areas), tuple(names), tuple(unresolved))

    def _form(self, text: str, make) -> Form:
        if text not in self._forms:
            self._forms[text] = make()
        return self._forms[text]


@lru_cache(maxsize=4096)
def _tokens(text: str) -> list[Token] | None:
    """Return the tokens of a formula; None if it cannot be parsed. Cached: all rows of a table have the same text."""
    try:
        tokens = Tokenizer(text).items
    except (TokenizerError, IndexError):  # for some broken texts openpyxl raises IndexError
        return None
    subtypes = [token.subtype for token in tokens]
    return tokens if subtypes.count(Token.OPEN) == subtypes.count(Token.CLOSE) else None


def _starts_program(text: str) -> bool:
    """Return whether `text` has the "|" of a DDE link: outside texts, quoted names and table columns."""
    return "|" in text and "|" in _BRACKETED.sub("", _QUOTED.sub("", _TEXT.sub("", text)))


def _is_reference(token: Token) -> bool:
    return token.type == Token.OPERAND and token.subtype in (Token.RANGE, Token.ERROR)


def _form(text: str, tokens: list[Token]) -> Form:
    functions: set[str] = set()
    foreign: set[str] = set()
    for token in tokens:
        if token.type == Token.FUNC and token.subtype == Token.OPEN:
            called = token.value.lstrip(":").removesuffix("(").upper()
            name = _PREFIX.sub("", called.rpartition("!")[2])
            is_built_in = called.startswith(_NEWER_PREFIX) or name in _BUILT_IN_FUNCTIONS
            (functions if is_built_in else foreign).add(name)
    references = [token.value for token in tokens if _is_reference(token)]
    calls = [token.value for token in tokens if token.type == Token.FUNC]
    return Form(
        text,
        functions=frozenset(functions),
        foreign_functions=frozenset(foreign),
        constants=tuple(_constants([token for token in tokens if token.type != Token.WSPACE])),
        has_whole_lines=any(map(is_whole_line, references)),
        is_external=any(map(is_external, references + calls)),
        hyperlinks=tuple(_hyperlink_targets(tokens)),
    )


@lru_cache(maxsize=4096)
def _operands(text: str) -> list[str]:
    """Return the references whose contents are used, without the direct arguments of ROW, COLUMNS etc."""
    open_calls, operands = [], []
    for token in _tokens(text) or ():
        if token.type in (Token.FUNC, Token.PAREN, Token.ARRAY):
            if token.subtype == Token.OPEN:
                open_calls.append(token.value.upper())
            elif open_calls:
                open_calls.pop()
        elif (
            _is_reference(token)
            and (token.subtype == Token.RANGE or token.value == "#REF!")
            and not (open_calls and open_calls[-1].removesuffix("(") in _POSITION_FUNCTIONS)
        ):
            operands.append(token.value)
    return operands


def _constants(tokens: list[Token]) -> list[str]:
    """Return the numbers in a formula except 0, 1 and unit powers such as 10^9."""
    found = []
    skip = 0
    for place, token in enumerate(tokens):
        if skip:
            skip -= 1
        elif token.type == Token.OPERAND and token.subtype == Token.NUMBER:
            skip = _unit_power_length(tokens[place + 1 : place + 4], token.value)
            is_percent = [t.value for t in tokens[place + 1 : place + 2]] == ["%"]
            if not skip and (float(token.value) not in (0, 1) or (is_percent and float(token.value))):
                found.append(token.value + "%" * is_percent)
    return found


def _unit_power_length(following: list[Token], base: str) -> int:
    """Return how many tokens after `base` belong to a unit power: 2 for 10^9, 3 for 10^-9, 0 if it is not one."""
    exponents = _UNIT_POWERS.get(base, ())
    match [token.value for token in following]:
        case ["^", "-", exponent] if exponent.isdecimal() and -int(exponent) in exponents:
            return 3
        case ["^", exponent, *_] if exponent.isdecimal() and int(exponent) in exponents:
            return 2
    return 0


def _hyperlink_targets(tokens: list[Token]) -> list[str]:
    """Return the target of each HYPERLINK by its first token; "" if it is not a text but computed."""
    targets = []
    for place, token in enumerate(tokens):
        if token.type == Token.FUNC and token.value.upper().lstrip(":") == "HYPERLINK(":
            first = tokens[place + 1] if place + 1 < len(tokens) else None
            targets.append(first.value.strip('"') if first is not None and first.subtype == Token.TEXT else "")
    return targets
