"""What a formula is made of, read with openpyxl's tokenizer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from openpyxl.formula import Tokenizer
from openpyxl.formula.tokenizer import Token, TokenizerError
from openpyxl.utils import FORMULAE

from workbook.audit.references import Area, Resolver, UnresolvedError, is_external, is_whole_line, relative_form

# Excel 2010 and later write their functions with this prefix, [MS-XLSX] 2.2.2; openpyxl lists those before them.
_NEWER_PREFIX = "_XLFN."
_EXCELS_OWN = FORMULAE | {"_XLWS.SORT", "_XLWS.FILTER", "ISFORMULA"}
_PREFIX = re.compile(r"^(?:_XLFN\.|_XLWS\.|_XLL\.|_XLUDF\.)+")
# They look at where a cell is, not at what is in it.
_OF_PLACE = {"ROW", "ROWS", "COLUMN", "COLUMNS"}
_TEXT, _QUOTED, _BRACKETED = re.compile(r'"(?:[^"]|"")*"'), re.compile(r"'(?:[^']|'')*'"), re.compile(r"\[[^\[\]]*\]")
# Powers of these bases convert units: thousands, and 1024s.
_UNIT_POWERS = {"10": range(-15, 16, 3), "2": range(-50, 51, 10)}


@dataclass(frozen=True)
class Form:
    """What all cells share that hold the same formula, but for the cell that it is relative to.

    Attributes:
        text: the formula in R1C1 terms.
        functions: Excel's own, in upper case and without prefix.
        foreign_functions: those that are not Excel's: of an add-in, a macro, or a LAMBDA under a name.
        constants: numbers other than 0, 1 and unit powers.
        starts_program: it is a DDE link (program|topic!item).
        is_readable: False if the tokenizer could make nothing of it.
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
    """A formula in its cell.

    Attributes:
        areas: what it refers to.
        names: keys of the names that it refers to.
        unresolved: references that lead nowhere.
    """

    form: Form
    areas: tuple[Area, ...] = ()
    names: tuple[tuple[str | None, str], ...] = ()
    unresolved: tuple[str, ...] = ()


class FormulaReader:
    """Reads formulas, and keeps what equal ones share."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._forms: dict[str, Form] = {}

    def read(self, text: str, sheet: str, row: int, column: int) -> Formula:
        """The formula `text`, with its "=", in the cell at `row` and `column` of `sheet`."""
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
    """The tokens of a formula; None if it is none. The rows of a table have the same."""
    try:
        tokens = Tokenizer(text).items
    except (TokenizerError, IndexError):  # openpyxl lets the latter escape for some broken texts
        return None
    subtypes = [token.subtype for token in tokens]
    return tokens if subtypes.count(Token.OPEN) == subtypes.count(Token.CLOSE) else None


def _starts_program(text: str) -> bool:
    """Whether `text` has the "|" of a DDE link, which stands outside of texts, quoted names and table columns."""
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
            is_excels = called.startswith(_NEWER_PREFIX) or name in _EXCELS_OWN
            (functions if is_excels else foreign).add(name)
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
    """The references whose cells' contents matter: not those that ROW or COLUMNS only asks the place of."""
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
            and not (open_calls and open_calls[-1].removesuffix("(") in _OF_PLACE)
        ):
            operands.append(token.value)
    return operands


def _constants(tokens: list[Token]) -> list[str]:
    """The numbers in a formula that are neither 0, nor 1, nor part of a unit power such as 10^9."""
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
    """How many tokens after `base` make it a unit power: 2 in 10^9, 3 in 10^-9, 0 if it is none."""
    exponents = _UNIT_POWERS.get(base, ())
    match [token.value for token in following]:
        case ["^", "-", exponent] if exponent.isdecimal() and -int(exponent) in exponents:
            return 3
        case ["^", exponent, *_] if exponent.isdecimal() and int(exponent) in exponents:
            return 2
    return 0


def _hyperlink_targets(tokens: list[Token]) -> list[str]:
    """What each HYPERLINK leads to, as far as its first token tells: a text, or something computed ("")."""
    targets = []
    for place, token in enumerate(tokens):
        if token.type == Token.FUNC and token.value.upper().lstrip(":") == "HYPERLINK(":
            first = tokens[place + 1] if place + 1 < len(tokens) else None
            targets.append(first.value.strip('"') if first is not None and first.subtype == Token.TEXT else "")
    return targets
