"""The errors for invalid inputs; each message names the field, the value and a remedy.

One class per Excel error, so that a cell can show the right one: `WrongTypeError` is `#VALUE!`,
`OutOfRangeError` is `#NUM!`, `UnknownNameError` is `#N/A`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

LONGEST_QUOTED_VALUE = 60
_MOST_BITS_SHOWN = 4096  # Python cannot convert integers of more than 4300 digits to text


class PlannerError(ValueError):
    """An input that the planner cannot use.

    Args:
        field: the input's name as the user sees it ("context", "num_hidden_layers").
        problem: what is wrong, including the value ("-3 is below 1").
        remedy: what to write instead, a complete sentence.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        self.field = field
        self.problem = problem
        self.remedy = remedy
        super().__init__(field, problem, remedy)

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}. {self.remedy}"


class WrongTypeError(PlannerError):
    """The value has the wrong type (text instead of a number, a required value that is blank)."""


class OutOfRangeError(PlannerError):
    """The value is a number that the field does not allow (negative, fractional, NaN, far too large)."""


class UnknownNameError(PlannerError):
    """The value is a name that is not in the catalog."""


class _SuggestingNameError(UnknownNameError):
    """An unknown name whose remedy suggests similar known names.

    The search takes a millisecond, so it waits until the remedy is read: cells show only #N/A and never read it.
    """

    def __init__(self, field: str, name: str, known: Iterable[str], where: str, more: str) -> None:
        self._name, self._known, self._where, self._more = name, known, where, more
        super().__init__(field, f"{quoted(name)} is not known", "")
        del self.remedy

    @cached_property
    def remedy(self) -> str:  # type: ignore[override]
        """The most similar known names, or where to find the known names."""
        near = " or ".join(repr(candidate) for candidate in _similar(self._name, list(self._known)))
        remedy = f"Did you mean {near}?" if near else f"Write one of the names in {self._where}."
        return f"{remedy} {self._more}" if self._more else remedy


class UnsupportedModelError(PlannerError):
    """The description of a model has a field or an architecture that is not supported."""


def quoted(value: object) -> str:
    """Return `value` as text for an error message: quoted if it is text, shortened if it is long."""
    if isinstance(value, bool):
        return str(value).upper()  # as a cell shows it
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_QUOTED_VALUE else value[: LONGEST_QUOTED_VALUE - 1] + "…")
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**15:
        value = int(value)  # a cell that shows 3 holds 3.0
    if isinstance(value, int) and value.bit_length() > _MOST_BITS_SHOWN:
        return f"an integer of {value.bit_length()} bits"
    text = str(value)
    if len(text) > LONGEST_QUOTED_VALUE:
        text = text[: LONGEST_QUOTED_VALUE - 1] + "…"
    return text


def unknown_name(field: str, name: str, known: Iterable[str], where: str, more: str = "") -> UnknownNameError:
    """Return the error for a name that is not in `known`, with the most similar known names as the remedy.

    Args:
        field: the input's name.
        name: what the user wrote.
        known: every accepted name.
        where: where the user finds the known names, used if none is similar ("the Precisions sheet").
        more: another remedy, a complete sentence; "" for none.
    """
    return _SuggestingNameError(field, name, known, where, more)


def _similar(name: str, known: list[str]) -> list[str]:
    """Return the known name most similar to `name`, or else up to three with a similar beginning."""
    if len(name) > LONGEST_QUOTED_VALUE:
        return []  # not a typing error, and slow to compare
    import difflib  # imported here because it is slow to import and needed only for errors

    name = name.strip().casefold()
    by_lower_case = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name, by_lower_case, n=1, cutoff=0.7)
    if not near:
        beginnings = [candidate for candidate in by_lower_case if candidate[:1] == name[:1]]
        near = sorted(beginnings, key=lambda c: -difflib.SequenceMatcher(None, c[: len(name)], name).ratio())[:3]
        near = [c for c in near if difflib.SequenceMatcher(None, c[: len(name)], name).ratio() >= 0.7]
    return [by_lower_case[candidate] for candidate in near]
