"""What can be wrong with an input, in words that name the field, the value and the remedy.

One class per Excel error, so that a cell can show the right one: `WrongTypeError` is `#VALUE!`,
`OutOfRangeError` is `#NUM!`, `UnknownNameError` is `#N/A`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

LONGEST_QUOTED_VALUE = 60
_MOST_BITS_WRITTEN = 4096  # Python itself refuses to write more than 4300 digits


class PlannerError(ValueError):
    """An input that cannot be planned with.

    Args:
        field: the input's name, as the user knows it ("context", "num_hidden_layers").
        problem: what is wrong, value included ("-3 is below 1").
        remedy: what to write instead, a whole sentence.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        self.field = field
        self.problem = problem
        self.remedy = remedy
        super().__init__(field, problem, remedy)

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}. {self.remedy}"


class WrongTypeError(PlannerError):
    """The value is of a kind that the field cannot take (text for a number, a blank that is required)."""


class OutOfRangeError(PlannerError):
    """The value is a number, but none that the field can take (negative, fractional, NaN, absurdly large)."""


class UnknownNameError(PlannerError):
    """The value is a name that the catalog does not have."""


class _NotAmongError(UnknownNameError):
    """The same with the names that are known: the nearest are looked for when somebody reads the remedy.

    That takes a millisecond, and ten thousand cells of a column that are wrong show nothing but #N/A.
    """

    def __init__(self, field: str, name: str, known: Iterable[str], where: str) -> None:
        self._name, self._known, self._where = name, known, where
        super().__init__(field, f"{quoted(name)} is not known", "")
        del self.remedy

    @cached_property
    def remedy(self) -> str:  # type: ignore[override]
        """The nearest known names, or where to find them."""
        near = " or ".join(repr(candidate) for candidate in _nearest(self._name, list(self._known)))
        return f"Did you mean {near}?" if near else f"Write one of the names in {self._where}."


class UnsupportedModelError(PlannerError):
    """The description of a model has a field or an architecture that is not understood."""


def quoted(value: object) -> str:
    """`value` as it may stand in a sentence: quoted if it is text, shortened if it is long."""
    if isinstance(value, bool):
        return str(value).upper()  # as a cell shows it
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_QUOTED_VALUE else value[: LONGEST_QUOTED_VALUE - 1] + "…")
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**15:
        value = int(value)  # a cell's 3.0 is a 3 to whoever typed it
    if isinstance(value, int) and value.bit_length() > _MOST_BITS_WRITTEN:
        return f"an integer of {value.bit_length()} bits"
    text = str(value)
    if len(text) > LONGEST_QUOTED_VALUE:
        text = text[: LONGEST_QUOTED_VALUE - 1] + "…"
    return text


def unknown_name(field: str, name: str, known: Iterable[str], where: str) -> UnknownNameError:
    """The error for a name that is not among `known`, with the nearest known names as the remedy.

    Args:
        field: the input's name.
        name: what the user wrote.
        known: every name that would have been accepted.
        where: where the user can see the known names, for when none is near ("the Precisions sheet").
    """
    return _NotAmongError(field, name, known, where)


def _nearest(name: str, known: list[str]) -> list[str]:
    """The known name that `name` most resembles, or up to three that begin much as it does."""
    if len(name) > LONGEST_QUOTED_VALUE:
        return []  # no slip of the pen, and slow to compare
    import difflib  # only on the way to an error: it is slow to import

    name = name.strip().casefold()
    by_lower_case = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name, by_lower_case, n=1, cutoff=0.7)
    if not near:
        beginnings = [candidate for candidate in by_lower_case if candidate[:1] == name[:1]]
        near = sorted(beginnings, key=lambda c: -difflib.SequenceMatcher(None, c[: len(name)], name).ratio())[:3]
        near = [c for c in near if difflib.SequenceMatcher(None, c[: len(name)], name).ratio() >= 0.7]
    return [by_lower_case[candidate] for candidate in near]
