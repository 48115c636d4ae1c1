"""Parse formulas with openpyxl's tokenizer into functions, constants and references."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from openpyxl.formula import Tokenizer
from openpyxl.formula.tokenizer import Token, TokenizerError
from openpyxl.utils import FORMULAE

from workbook.audit.references import (
    Area,
    Resolver,
    UnresolvedError,
    is_external,
    is_fixed,
    is_parameter,
    is_whole_line,
    relative_form,
)

# Functions since Excel 2010 have this prefix in files, [MS-XLSX] 2.2.2; openpyxl's FORMULAE are the older ones.
_NEWER_PREFIX = "_XLFN."
# New in Excel 2010: Microsoft, "Function Improvements in Microsoft Office Excel 2010". Some are written without prefix.
_FUNCTIONS_OF_2010 = {
    "AGGREGATE", "BETA.DIST", "BETA.INV", "BINOM.DIST", "BINOM.INV", "CEILING.PRECISE", "CHISQ.DIST", "CHISQ.DIST.RT",
    "CHISQ.INV", "CHISQ.INV.RT", "CHISQ.TEST", "CONFIDENCE.NORM", "CONFIDENCE.T", "COVARIANCE.P", "COVARIANCE.S",
    "ERF.PRECISE", "ERFC.PRECISE", "EXPON.DIST", "F.DIST", "F.DIST.RT", "F.INV", "F.INV.RT", "F.TEST",
    "FLOOR.PRECISE", "GAMMA.DIST", "GAMMA.INV", "GAMMALN.PRECISE", "HYPGEOM.DIST", "ISO.CEILING", "LOGNORM.DIST",
    "LOGNORM.INV", "MODE.MULT", "MODE.SNGL", "NEGBINOM.DIST", "NETWORKDAYS.INTL", "NORM.DIST", "NORM.INV",
    "NORM.S.DIST", "NORM.S.INV", "PERCENTILE.EXC", "PERCENTILE.INC", "PERCENTRANK.EXC", "PERCENTRANK.INC",
    "POISSON.DIST", "QUARTILE.EXC", "QUARTILE.INC", "RANK.AVG", "RANK.EQ", "STDEV.P", "STDEV.S", "T.DIST", "T.DIST.2T",
    "T.DIST.RT", "T.INV", "T.INV.2T", "T.TEST", "VAR.P", "VAR.S", "WEIBULL.DIST", "WORKDAY.INTL", "Z.TEST",
}  # fmt: skip
_BUILT_IN_FUNCTIONS = FORMULAE | _FUNCTIONS_OF_2010 | {"_XLWS.SORT", "_XLWS.FILTER", "ISFORMULA"}
_PREFIX = re.compile(r"^(?:_XLFN\.|_XLWS\.|_XLL\.|_XLUDF\.)+")
# These use the position of a cell, not its content.
_POSITION_FUNCTIONS = {"ROW", "ROWS", "COLUMN", "COLUMNS"}
_TEXT, _QUOTED, _BRACKETED = re.compile(r'"(?:[^"]|"")*"'), re.compile(r"'(?:[^']|'')*'"), re.compile(r"\[[^\[\]]*\]")
# As Excel shows it: Table[[#This Row],[Name]] is [@[Name]], and newer functions have no prefix.
_THIS_ROW = re.compile(r"[\w.]+\[\[#This Row\],(\[(?:[^\]']|'.)*\])\]", re.IGNORECASE)
_THIS_ROW_RANGE = re.compile(r"([\w.]+)\[\[#This Row\],(\[(?:[^\]']|'.)*\]:\[(?:[^\]']|'.)*\])\]", re.IGNORECASE)
_FILE_PREFIX = re.compile(r"_xl(?:fn|ws|pm|op|eta)\.")
_COMPARISONS = frozenset({"=", "<>", "<", ">", "<=", ">="})
# Operator → those that end its operands.
_ENDS_OF_OPERANDS = {**dict.fromkeys(_COMPARISONS, _COMPARISONS), "-": _COMPARISONS | {"+", "-", "&"}}
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
        newer_functions: those of the functions that Excel 2010 does not know.
        if_depth: how deep IF stands within IF; 1 without nesting, 0 without IF.
        references: the number of different cells, ranges, table columns and names that it refers to.
        compares_with_itself: the operand that it compares with itself or subtracts from itself, or "".
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
    newer_functions: frozenset[str] = frozenset()
    if_depth: int = 0
    references: int = 0
    compares_with_itself: str = ""


@dataclass(frozen=True)
class Formula:
    """A formula in a cell.

    Attributes:
        areas: the areas that it refers to.
        names: the keys of the names that it refers to.
        unresolved: its references to missing sheets, tables, columns or names.
        characters: its length as Excel shows it, with "="; 0 if it cannot be parsed.
    """

    form: Form
    areas: tuple[Area, ...] = ()
    names: tuple[tuple[str | None, str], ...] = ()
    unresolved: tuple[str, ...] = ()
    characters: int = 0


class FormulaReader:
    """Parses formulas and shares one `Form` between equal ones.

    A formula without relative references has one text in all cells into which it was filled, and is parsed once.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._forms: dict[str, Form] = {}
        # (text, sheet) → the formula as first read, and the positions of its areas that are in the cell's own row
        self._filled: dict[tuple[str, str], tuple[Formula, tuple[int, ...]]] = {}

    def read(self, text: str, sheet: str, row: int, column: int) -> Formula:
        """Parse the formula `text` (with "=") of the cell at `row` and `column` of `sheet`."""
        key = text, sheet
        if key not in self._filled:
            formula = self._read(text, sheet, row, column)
            if not _is_filled_unchanged(text):
                return formula
            below = self._read(text, sheet, row + 1, column)
            own_row = (i for i, (area, other) in enumerate(zip(formula.areas, below.areas)) if area != other)
            self._filled[key] = formula, tuple(own_row)
        formula, own_row_areas = self._filled[key]
        if not own_row_areas:
            return formula
        areas = list(formula.areas)
        for i in own_row_areas:
            title, _, first_column, _, last_column = areas[i]
            areas[i] = Area(title, row, first_column, row, last_column)
        return Formula(formula.form, tuple(areas), formula.names, formula.unresolved, formula.characters)

    def _read(self, text: str, sheet: str, row: int, column: int) -> Formula:
        if _starts_program(text):
            return Formula(self._form(text, lambda: Form(text, starts_program=True)))
        tokens = _tokens(text)
        if tokens is None:
            return Formula(self._form(text, lambda: Form(text, is_readable=False)))
        form_text = _relative_text(tokens, row, column)
        form = self._form(form_text, lambda: _form(form_text, tokens))
        areas, names, unresolved = [], [], []
        for operand in operands(text):
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
        return Formula(form, tuple(areas), tuple(names), tuple(unresolved), characters=len(as_shown(text)))

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


def as_shown(text: str) -> str:
    """Return the formula `text` of a file as Excel shows it.

    Excel omits the prefixes of newer functions, and writes [@[Name]] and Table[@[From]:[To]] for the table's own row
    where the file has Table[[#This Row],[Name]] and Table[[#This Row],[From]:[To]].
    """
    return _FILE_PREFIX.sub("", _THIS_ROW.sub(r"[@\1]", _THIS_ROW_RANGE.sub(r"\1[@\2]", text)))


def filled_form(text: str, row: int, column: int) -> str:
    """Return the R1C1 form of the formula `text`, the same in all cells into which it was filled."""
    tokens = _tokens(text)
    return text if tokens is None else _fixed_form(text) or _relative_text(tokens, row, column)


@lru_cache(maxsize=4096)
def _fixed_form(text: str) -> str:
    """Return the form of a formula without relative references; "" for others."""
    return _relative_text(_tokens(text) or [], 1, 1) if _is_filled_unchanged(text) else ""


def _relative_text(tokens: list[Token], row: int, column: int) -> str:
    return "".join(
        relative_form(token.value, row, column) if _is_reference(token) else token.value
        for token in tokens
        if token.type != Token.WSPACE
    )


def _is_filled_unchanged(text: str) -> bool:
    """Return whether `text` stays the same when it is filled into other cells, so that it means the same there."""
    return all(is_fixed(token.value) for token in _tokens(text) or () if _is_reference(token))


def _starts_program(text: str) -> bool:
    """Return whether `text` has the "|" of a DDE link: outside texts, quoted names and table columns."""
    return "|" in text and "|" in _BRACKETED.sub("", _QUOTED.sub("", _TEXT.sub("", text)))


def _is_reference(token: Token) -> bool:
    return token.type == Token.OPERAND and token.subtype in (Token.RANGE, Token.ERROR)


def _form(text: str, tokens: list[Token]) -> Form:
    functions: set[str] = set()
    newer: set[str] = set()
    foreign: set[str] = set()
    for token in tokens:
        if token.type == Token.FUNC and token.subtype == Token.OPEN:
            if is_parameter(token.value):
                continue  # a function that a LAMBDA is given
            called = token.value.lstrip(":").removesuffix("(").upper()
            name = _PREFIX.sub("", called.rpartition("!")[2])
            is_built_in = called.startswith(_NEWER_PREFIX) or name in _BUILT_IN_FUNCTIONS
            (functions if is_built_in else foreign).add(name)
            if is_built_in and name not in FORMULAE | _FUNCTIONS_OF_2010:
                newer.add(name)
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
        newer_functions=frozenset(newer),
        if_depth=_if_depth(tokens),
        references=len({_normalised(reference) for reference in references if not is_parameter(reference)}),
        compares_with_itself=_compared_with_itself(tokens),
    )


def _if_depth(tokens: list[Token]) -> int:
    """Return how deep IF stands within IF."""
    calls: list[bool] = []
    deepest = 0
    for token in tokens:
        if token.subtype == Token.OPEN:
            calls.append(token.value.upper() == "IF(")
            deepest = max(deepest, sum(calls))
        elif token.subtype == Token.CLOSE:
            calls.pop()
    return deepest


def _compared_with_itself(tokens: list[Token]) -> str:
    """Return the first operand that is compared with or subtracted from an equal one and refers to cells, or ""."""
    tokens = [token for token in tokens if token.type != Token.WSPACE]
    for place, token in enumerate(tokens):
        if token.type != Token.OP_IN or token.value not in _ENDS_OF_OPERANDS:
            continue
        ends = _ENDS_OF_OPERANDS[token.value]
        before = _operand(tokens[:place][::-1], ends, Token.OPEN)
        left, right = before[::-1], _operand(tokens[place + 1 :], ends, Token.CLOSE)
        follows_another = len(before) < place and tokens[place - len(before) - 1].value in _ENDS_OF_OPERANDS
        same = [_normalised(t.value) for t in left] == [_normalised(t.value) for t in right]
        if same and not follows_another and any(map(_is_reference, left)):
            return "".join(t.value for t in left)
    return ""


def _operand(tokens: list[Token], ends: Collection[str], closing: str) -> list[Token]:
    """Return the first of `tokens` up to the end of the argument or an operator of `ends` outside parentheses."""
    depth = 0
    for length, token in enumerate(tokens):
        is_end = token.type == Token.SEP or (token.type == Token.OP_IN and token.value in ends)
        if depth == 0 and (is_end or token.subtype == closing):
            return tokens[:length]
        if token.subtype in (Token.OPEN, Token.CLOSE):
            depth += -1 if token.subtype == closing else 1
    return tokens


def _normalised(reference: str) -> str:
    """Return the same text for references to the same cells, with or without dollar signs."""
    return reference.replace("$", "").casefold()


@lru_cache(maxsize=4096)
def operands(text: str) -> list[str]:
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
