"""Declare the inputs of the Plan sheet once: their names, defaults, limits, choices, and where they stand.

The names of terms (`horizon_months`) and those for programs (`plan_horizon_months`) are of the same cell.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from core.catalog.countries import countries
from core.catalog.offers import USD
from core.catalog.prices import cost_defaults, date_of
from core.checks import LIMITS, Limits
from core.plan.candidates import makers
from core.plan.costs import COST_LIMITS, WAYS
from core.plan.demand import MIN_SPEED
from workbook.book import COUNT_FORMAT, DATE_FORMAT
from workbook.labels import Labels, all_keys

FIRST_ROW = 3
ECHO_ROWS = (4, 5)  # they name the model and the tokens of the chosen scenario

NUMBER, TEXT, CHOICE, DATE = "number", "text", "choice", "date"
_SHARE, _MONEY, _HOURS = "0.#%", "#,##0.00##", "#,##0.##"


@dataclass(frozen=True, kw_only=True)
class PlanInput:
    """One input cell.

    Attributes:
        name: of the cell, in formulas and for programs.
        kind: NUMBER, TEXT, CHOICE or DATE.
        default: its value in a new planner; None for a blank cell; the key of a label for a choice.
        number_format: of a number.
        limits: of a number.
        choices: keys of the texts to choose from, or the name of a list.
        term: the name that the terms of costs have for it; "" for none.
    """

    name: str
    kind: str = NUMBER
    default: object = None
    number_format: str | None = COUNT_FORMAT
    limits: Limits | None = None
    choices: tuple[str, ...] | str = ()
    term: str = ""

    @property
    def key(self) -> str:
        """The end of the keys of its labels."""
        return self.name.removeprefix("plan_")


def _demand(name: str, limits: str, default: object = None, number_format: str = COUNT_FORMAT) -> PlanInput:
    return PlanInput(name=name, default=default, number_format=number_format, limits=LIMITS[limits])


def _cost(name: str, term: str, number_format: str = COUNT_FORMAT) -> PlanInput:
    value = cost_defaults()[term].value
    default = int(value) if value is not None and COST_LIMITS[term].whole else value
    return PlanInput(name=name, default=default, number_format=number_format, limits=COST_LIMITS[term], term=term)


def _plan_date() -> datetime.date:
    """Return the newest date of the defaults instead of today, so that the same version writes the same bytes."""
    return max(date_of(default.as_of) for default in cost_defaults().values())


# Choices whose cells hold a text of the workbook's language: input → keys of the labels.
ANY, YES, NO = "any", "yes", "no"
NO_COUNTRY = "no_country"
_COUNTRIES = (NO_COUNTRY, *countries())

# The groups in the order of the sheet; a blank row follows each.
GROUPS: tuple[tuple[str, tuple[PlanInput, ...]], ...] = (
    ("need", (PlanInput(name="plan_scenario", kind=CHOICE, choices="scenario_names"),)),
    (
        "people",
        (
            _demand("plan_people", "people"),
            _demand("plan_active_share", "active", number_format=_SHARE),
            _demand("plan_users", "users"),
            _demand("plan_requests_per_hour", "requests_per_hour"),
            _demand("plan_output_tokens", "output_tokens"),
            _demand("plan_min_speed", "min_speed", MIN_SPEED, "#,##0.#"),
        ),
    ),
    (
        "candidates",
        (
            PlanInput(name="plan_candidates", kind=TEXT, default="all"),
            PlanInput(name="plan_data_centre", kind=CHOICE, default=NO, choices=(YES, NO)),
            PlanInput(name="plan_maker", kind=CHOICE, default=ANY, choices=(ANY, *makers())),
            PlanInput(name="plan_way_wanted", kind=CHOICE, default="either", choices=tuple(WAYS)),
            _cost("plan_owned_gpus", "owned_gpus"),
        ),
    ),
    (
        "use",
        (
            _cost("plan_horizon_months", "horizon_months"),
            _cost("plan_spare_replicas", "spare_replicas"),
            _cost("plan_hours_per_day", "hours_per_day", _HOURS),
            _cost("plan_days_per_month", "days_per_month", _HOURS),
            _cost("plan_average_load", "average_load", _SHARE),
        ),
    ),
    (
        "money",
        (
            PlanInput(name="plan_country", kind=CHOICE, default=NO_COUNTRY, choices=_COUNTRIES),
            PlanInput(name="plan_currency", kind=TEXT, default=USD),
            PlanInput(
                name="plan_exchange_rate",
                default=1,
                number_format="#,##0.00##",
                limits=Limits(1e-6, 1e6, False, "Write units of the currency for one US dollar, for example 0.92."),
            ),
            _cost("plan_tax_rate", "tax_rate", _SHARE),
            _cost("plan_api_prompt_price", "api_prompt_usd_per_million", _MONEY),
            _cost("plan_api_output_price", "api_output_usd_per_million", _MONEY),
            PlanInput(name="plan_date", kind=DATE, default=_plan_date(), number_format=DATE_FORMAT),
        ),
    ),
)


def _rows() -> Iterator[tuple[str, PlanInput | None, int]]:
    """Yield (group, input, row) of each input, and (group, None, row) of each heading but the first."""
    row = FIRST_ROW
    for number, (group, inputs) in enumerate(GROUPS):
        if number:
            yield group, None, row
            row += 1
        for one in inputs:
            yield group, one, row
            row += 1
        row += 1 + (0 if number else len(ECHO_ROWS))


PLACES = tuple(_rows())
ROW = {one.name: row for _, one, row in PLACES if one}
LAST_ROW = max(ROW.values())
INPUTS = tuple(one for _, one, _ in PLACES if one)
OF_TERM = {one.term: one for one in INPUTS if one.term}


def cell(name: str) -> str:
    """Return the address of an input."""
    return f"B{ROW[name]}"


def choice_text(labels: Labels, key: str) -> str:
    """Return the text that a cell holds for a choice; makers have one name in all languages."""
    label = f"plan.choice_{key}"
    return labels(label) if label in all_keys() else key


def choice_of(key: str) -> PlanInput:
    """Return the input of that name."""
    return next(one for one in INPUTS if one.name == key)
