"""Write the calculation of a page, right of the printed columns: single figures, then every stage and every layout.

All of it is printed from terms of `core.plan`, so that the page finds the best layout again when an input changes, and
an auditor can follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, count
from typing import Any

from core.plan.demand import TOKENS
from core.plan.memory import SIZE
from core.plan.money import OPTION_MONEY
from core.plan.nodes import NODES
from core.plan.serving import RULE
from core.plan.speed_terms import DRAFTS, PARTS, SERVED
from core.plan.terms import Term, Terms
from workbook import formulas as f
from workbook import styles, terms
from workbook.book import COUNT_FORMAT, PLAIN_FORMAT
from workbook.export import assumptions, speeds
from workbook.export.figures import (
    BEST_OF_ALL,
    LAYOUT_TERMS,
    NEEDED,
    NOTHING,
    RANKING,
    SCENARIO_TERMS,
    STAGE_INPUTS,
    STAGE_TERMS,
    STAGE_USERS,
    Figures,
    input_is_usable,
    layouts_of,
    memory_bytes,
    open_inputs,
    paces_of,
    steps_of,
)
from workbook.export.grid import At, Grid
from workbook.labels import Labels
from workbook.scenario import FIELDS

Formula = Callable[[At], str]
_HEADING_HEIGHT = 58  # points, of up to four lines
_OWN_LABELS = {
    "layout", "first_stage", "deciding_stage", "served_users", "needed_per_node", "needed_nodes", "cheapest_places",
    "cheapest_bandwidth", "cheapest_cost", "fitting_users", "is_fast", "sequences",
}  # fmt: skip
# Names of terms that a layout has under another key, as Options does: no costs above the most GPUs that are planned.
_SERVED = {"users_per_replica": "served_users"}


@dataclass(frozen=True)
class Column:
    """A column of a table; without a formula, its cells hold constants."""

    key: str
    label: str
    formula: Formula | None = None
    number_format: str | None = COUNT_FORMAT


def label(labels: Labels, key: str) -> str:
    """Return the label of a figure of the calculation."""
    if key in _OWN_LABELS:
        return labels(f"export.{key}")
    return labels(f"options.{key}") if key in ("cost", "bandwidth") else terms.label(labels, key)


class Calculation:
    """The layouts of a scenario, and the cells that compute them.

    Args:
        column: the first column.
        limits: field of an input or a price → references to the cells of its minimum and maximum.
    """

    def __init__(
        self, grid: Grid, labels: Labels, figures: Figures, column: int, limits: Mapping[str, tuple[str, str]]
    ) -> None:
        self._grid, self._labels, self._figures, self._column, self._limits = grid, labels, figures, column, limits
        self._engine = figures.scenario.engine
        self._users = STAGE_USERS[self._engine]
        self._layouts = layouts_of(figures)
        self._paces = paces_of(figures)
        self.may_be_slow = figures.has_speed or figures.speed_gap in speeds.REFUSING
        self._stages = [(layout, stage) for layout in self._layouts for stage in layout.stages]
        self._best = next(
            (n for n, layout in enumerate(self._layouts) if figures.best and layout.replica == figures.best.replica),
            None,
        )
        firsts = accumulate((len(layout.stages) for layout in self._layouts[:-1]), initial=1)
        # Of each layout, the numbers of its first stage and of the one with the fewest users in the table of stages.
        self._numbers = [
            (first, first + layout.stages.index(layout.fullest)) for first, layout in zip(firsts, self._layouts)
        ]
        self._inputs = open_inputs(figures.scenario)
        self._prices = assumptions.PRICES if figures.prices else ()

    def of_best(self, key: str) -> tuple[object, Formula]:
        """Return the value and the formula of a figure of the recommended layout; a dash if there is none."""
        value = NOTHING if self._best is None else _or_dash(self._layouts[self._best].figures[key])
        value = value if self._best is None else self._worded(key, value)
        return value, lambda at: f"IF({at('best')}>0,INDEX({self.column('layout', key)},{at('best')}),{terms.MISSING})"

    def of_best_stage(self, key: str) -> tuple[object, Formula]:
        """Return the same of the stage that has the fewest users, in GB."""
        value = NOTHING if self._best is None else self._layouts[self._best].fullest[key] / 10**9
        return (
            value,
            lambda at: (
                f"IF({at('best')}>0,INDEX({self.column('stage', key)},{at('best_stage')})/{f.GB},{terms.MISSING})"
            ),
        )

    def column(self, table: str, key: str) -> str:
        """Return the range of a column of the table of layouts or stages."""
        lines = len(self._layouts if table == "layout" else self._stages)
        return self._grid.column(key, f"{table}0.", f"{table}{lines - 1}.")

    def usable(self, at: At, fields: Sequence[str]) -> str:
        """Return the condition that all of these inputs or prices can be used; they stand one below the other."""
        return f"MIN({at(f'usable_{fields[0]}')}:{at(f'usable_{fields[-1]}')})=1"

    @property
    def holds_users(self) -> bool:
        """Whether a replica of any layout has room for a user."""
        return any(layout.figures["fitting_users"] for layout in self._layouts)

    @property
    def needs_too_many(self) -> bool:
        """Whether every layout with room for a user needs more GPUs than are planned."""
        return all(layout.figures["gpus"] is None for layout in self._layouts)

    @property
    def fills_sequences(self) -> bool:
        """Whether the users of the recommended layout are the most that the engine runs at once."""
        if self._best is None or self._engine == RULE:
            return False
        layout = self._layouts[self._best]
        return layout.fullest[self._users] == layout.fullest["max_sequences"]

    @property
    def is_kept_fast(self) -> bool:
        """Whether the recommended layout serves fewer users than fit, so that each gets the wanted speed."""
        if self._best is None:
            return False
        figures = self._layouts[self._best].figures
        return figures["users_per_replica"] < figures["fitting_users"]

    def write(
        self,
        first_row: int,
        gaps: Collection[int],
        last_row: int,
        texts: Iterable[tuple[str, str, Formula | None]],
        of_cheaper: Iterable[tuple[str, str, object, Formula]],
    ) -> None:
        """Place single figures from `first_row` on, but not in rows that are `gaps`, and the tables below `last_row`.

        Args:
            texts: key, value and formula of the sentences that printed cells show.
            of_cheaper: key, label, value and formula of figures of the cheaper of buying and renting.
        """
        self._rows: Iterator[int] = (row for row in count(first_row) if row not in gaps)
        row = next(self._rows)
        for column, text in ((self._column, self._labels("export.working")), (self._column + 1, None)):
            self._grid.put(row, column, styles.SECTION, text)
        for key, text, formula in texts:  # in a style that does not wrap, which would make a printed row higher
            self._line(key, self._labels("export.text"), text, formula, None, styles.SUBTITLE)
        self._choice()
        if self._paces:
            for key in _SPEED_OF_BEST:
                self._line(f"best_{key}", label(self._labels, key), *self.of_best(key), "#,##0.00")
        for key, text, value, formula in of_cheaper:
            self._line(key, text, value, formula, COUNT_FORMAT)
        self._checks()
        self._single_figures()
        self._rows = count(max(next(self._rows), last_row + 1))
        self._tables()

    # ---- single figures -----------------------------------------------------------------------------------

    def _line(
        self, key: str, text: str, value: object, formula: Formula | None, shown: str | None, role: str = ""
    ) -> None:
        row = next(self._rows)
        self._grid.put(row, self._column, styles.LABEL, text)
        role = role or (styles.FORMULA if formula else styles.SOURCE_FIGURE)
        self._grid.put(row, self._column + 1, role, _or_dash(value), formula, shown, key=key)

    def _checks(self) -> None:
        """Place 1 or 0 for each input and price: whether it can be used."""

        def usable(field: str, at: At) -> str:
            if field in self._inputs:
                return input_is_usable(field, at(field), self._limits)
            within = f.is_number_within(at(field), *self._limits[field], whole=False)
            return f"IF({f.is_blank(at(field))},1,IF({within},1,0))"

        for field in (*self._inputs, *self._prices):
            figure = (
                self._labels(f"export.price_{field}") if field in self._prices else field_label(self._labels, field)
            )
            text = self._labels("export.usable_input", figure=figure)
            self._line(f"usable_{field}", text, 1, partial(usable, field), COUNT_FORMAT)

    def _single_figures(self) -> None:
        """Place the terms that the scenario has once, and those of their inputs that are not printed."""
        labels, layout = self._labels, self._layouts[0]
        values = {**layout.figures, **layout.stages[0], **self._figures.terms, **steps_of(self._figures.prices)}
        if self._paces:
            values |= next(iter(self._paces.values())) | {"given_output_tokens": self._figures.scenario.output_tokens}
        text, size = label(labels, "memory_bytes"), values["memory_bytes"]
        self._line("memory_bytes", text, size, lambda at: memory_bytes(at("gpu_memory_gb")), COUNT_FORMAT)
        once, of_lines = SCENARIO_TERMS[self._engine], [STAGE_TERMS[self._engine], LAYOUT_TERMS, NODES, SIZE]
        if self._paces:
            once = Terms(*once, *TOKENS, *DRAFTS)
            of_lines += [speeds.PACE_TERMS, speeds.FAST_TERMS, speeds.LOAD_TERMS]
        if self._prices:
            of_lines += [OPTION_MONEY, RANKING]
        made = {term.name for group in (once, *of_lines) for term in group} | {
            *BEST_OF_ALL,
            *NEEDED,
            *_LINE_INPUTS,
            *terms.POWERS,
            *speeds.PACE_INPUTS,
            *speeds.RENAMED,
        }
        made |= {*STAGE_INPUTS[self._engine]}
        for name in dict.fromkeys(name for group in (once, *of_lines) for name in group.inputs if name not in made):
            if not self._grid.has(name):
                shown = PLAIN_FORMAT if name == "value_bytes" or name in speeds.OF_GPU else COUNT_FORMAT
                self._line(name, label(labels, name), _or_dash(values[name]), None, shown)
        for term in once:
            if not self._grid.has(term.name):
                formula, shown = partial(terms.formula, term), terms.number_format(term)
                self._line(term.name, label(labels, term.name), values[term.name], formula, shown)

    def _choice(self) -> None:
        """Place the numbers of the recommended layout and of its deciding stage in the tables, and its figures."""

        def find_best(at: At) -> str:
            size = self.column("layout", "size_key")
            by_size = f"IF(COUNT({size})>0,MATCH(MIN({size}),{size},0),0)"
            if not self._prices:
                return by_size
            cost = self.column("layout", "cheapest_cost")
            return f"IF(COUNT({cost})>0,MATCH(MIN({cost}),{cost},0),{by_size})"

        def find_stage(at: At) -> str:
            return f"IF({at('best')}>0,INDEX({self.column('layout', 'deciding_stage')},{at('best')}),0)"

        best = 0 if self._best is None else self._best + 1
        stage = 0 if self._best is None else self._numbers[self._best][1]
        self._line("best", self._labels("export.best"), best, find_best, COUNT_FORMAT)
        self._line("best_stage", self._labels("export.best_stage"), stage, find_stage, COUNT_FORMAT)
        for key in OF_BEST if self._prices else ():
            self._line(f"best_{key}", label(self._labels, key), *self.of_best(key), COUNT_FORMAT)

    # ---- tables -------------------------------------------------------------------------------------------

    def _tables(self) -> None:
        """Place a line for each layout and each stage."""
        for name, (function, key) in BEST_OF_ALL.items():
            self._grid.define(name, partial(self._over_all, function, key))
        columns = self._layout_columns()
        for number, (layout, row) in enumerate(zip(self._layouts, self._headed_rows(columns))):
            first, deciding = self._numbers[number]
            stages = f"stage{first - 1}.", f"stage{first + len(layout.stages) - 2}."
            self._grid.define("own_stages", partial(self._grid.column, self._users, *stages), line=f"layout{number}.")
            self._grid.look_further(f"layout{number}.", f"pace{layout.replica.tp}.")
            values = {**layout.figures, "first_stage": first, "deciding_stage": deciding}
            self._fill(f"layout{number}.", row, columns, values)
        columns = self._stage_columns()
        for number, ((layout, stage), row) in enumerate(zip(self._stages, self._headed_rows(columns))):
            self._fill(f"stage{number}.", row, columns, {**layout.figures, **stage})
        columns = self._pace_columns() if self._paces else []
        for (tp, pace), row in zip(self._paces.items(), self._headed_rows(columns) if columns else ()):
            self._fill(f"pace{tp}.", row, columns, pace)

    def _over_all(self, function: str, key: str) -> str:
        return f"{function}({self.column('layout', key)})"

    def _stage_columns(self) -> list[Column]:
        constants = ("layout", "tp", "pp", *STAGE_INPUTS[self._engine])
        return [*map(self._constant, constants), *map(self._term, STAGE_TERMS[self._engine])]

    def _pace_columns(self) -> list[Column]:
        constants = (Column(name, label(self._labels, name), None, PLAIN_FORMAT) for name in speeds.PACE_INPUTS)
        return [self._constant("tp"), *constants, *map(self._speed_term, speeds.PACE_TERMS)]

    def _speed_term(self, term: Term) -> Column:
        def formula(at: At) -> str:
            return in_words(self._labels, terms.formula(term, lambda name: at(speeds.RENAMED.get(name, name))))

        return Column(term.name, label(self._labels, term.name), formula, _TIME_FORMAT)

    def _speed_columns(self) -> list[Column]:
        """Return the columns of a layout at its load, and of whether it is fast enough."""
        labels = self._labels
        if not self.may_be_slow:
            return []
        if not self._paces:
            return [Column("is_fast", label(labels, "is_fast"))]
        return [
            Column(
                "sequences", label(labels, "sequences"),
                partial(terms.formula, SERVED["sequences"]),
                "#,##0.0",
            ),
            *map(self._speed_term, speeds.LOAD_TERMS),
            Column(
                "is_fast", label(labels, "is_fast"), lambda at: f"IF({at('low_tokens_per_s')}>=min_speed,1,0)"
            ),
        ]  # fmt: skip

    def _layout_columns(self) -> list[Column]:
        labels = self._labels
        by_speed, may_be_slow = bool(self._paces), self.may_be_slow

        def if_fast(at: At, formula: str, otherwise: str) -> str:
            return f"IF({at('is_fast')}=1,{formula},{otherwise})" if may_be_slow else formula

        size = self._term(SIZE["size_key"], NEEDED)
        assert size.formula is not None
        size_formula = size.formula

        def fewest(at: At) -> str:
            return f"MIN({at('own_stages')})"

        groups = self._figures.scenario.service.groups
        columns = [
            *map(self._constant, ("layout", "tp", "pp", "gpus_per_replica", "first_stage")),
            Column(
                "fitting_users", label(labels, "fitting_users"),
                (lambda at: f"{fewest(at)}*{at('attention_dp')}") if groups > 1 else fewest,
            ),
            Column(
                "deciding_stage", label(labels, "deciding_stage"),
                lambda at: f"{at('first_stage')}-1+MATCH({fewest(at)},{at('own_stages')},0)",
            ),
            *(map(self._speed_term, speeds.FAST_TERMS) if by_speed else ()),
            Column(
                "users_per_replica", label(labels, "users_per_replica"),
                (lambda at: terms.formula(SERVED["users_per_replica"], partial(_of_fitting, at)))
                if by_speed
                else (lambda at: at("fitting_users")),
            ),
            *map(self._term, LAYOUT_TERMS),
            *(self._term(term, NEEDED) for term in NODES),
            *self._speed_columns(),
            Column(size.key, size.label, lambda at: if_fast(at, size_formula(at), terms.MISSING), size.number_format),
        ]  # fmt: skip
        if self._prices:
            served = Column(
                "served_users", label(labels, "served_users"),
                lambda at: if_fast(at, f"IF(ISNUMBER({at('gpus')}),{at('users_per_replica')},0)", "0"),
            )  # fmt: skip
            columns += [served, *(self._term(term, _SERVED) for term in OPTION_MONEY), *map(self._term, RANKING)]
        return columns

    def _constant(self, key: str) -> Column:
        return Column(key, label(self._labels, key), None, None if key == "layout" else COUNT_FORMAT)

    def _term(self, term: Term, renamed: Mapping[str, str] | None = None) -> Column:
        names = renamed or {}
        key = names.get(term.name, term.name)

        def formula(at: At) -> str:
            return terms.formula(term, lambda name: at(names.get(name, name)))

        return Column(key, label(self._labels, key), formula, terms.number_format(term))

    def _headed_rows(self, columns: Sequence[Column]) -> Iterator[int]:
        """Place the headings of a table below a blank row, and yield the rows of its lines."""
        next(self._rows)
        row = next(self._rows)
        self._grid.heights[row] = _HEADING_HEIGHT
        for i, column in enumerate(columns):
            self._grid.put(row, self._column + i, styles.HEADING, column.label)
        yield from self._rows

    def _fill(self, line: str, row: int, columns: Sequence[Column], values: Mapping[str, Any]) -> None:
        for i, column in enumerate(columns):
            role = styles.FORMULA if column.formula else styles.SOURCE_FIGURE
            role = styles.LABEL if column.key == "layout" else role
            value = self._worded(column.key, _or_dash(values[column.key]))
            self._grid.put(
                row, self._column + i, role, value, column.formula, column.number_format, key=column.key, line=line
            )

    def _worded(self, key: str, value: object) -> object:
        """Return a value as a cell shows it: what limits the speed in the language of the sheet."""
        return part_label(self._labels, str(value)) if key == "largest_part" else value


def _of_fitting(at: At, name: str) -> str:
    """Return the cell of a name of the terms `SERVED`."""
    return at("fitting_users" if name == "fitting" else name)


def field_label(labels: Labels, name: str) -> str:
    """Return the label of a field on a page."""
    field = next(field for field in FIELDS if field.name == name)
    return labels(field.page_label or field.label)


def part_label(labels: Labels, part: str) -> str:
    """Return what limits a speed, one of `PARTS`, in the language of a sheet."""
    return labels(f"options.part_{part.replace(' ', '_')}")


def in_words(labels: Labels, formula: str) -> str:
    """Return a formula with what limits the speed in the language of a sheet."""
    for part in PARTS:
        formula = formula.replace(f.text(part), f.text(part_label(labels, part)))
    return formula


_SPEED_OF_BEST = ("fitting_users", "first_token_s")
# Figures of the recommended layout that the page needs and does not print.
OF_BEST = (
    "buys", "saved", "break_even", "net_present_cost", "net_capex", "power", "hosting", "support", "rent_bill",
)  # fmt: skip
_TIME_FORMAT = "0.0000E+00"
_LINE_INPUTS = (
    "tp", "pp", "gpus_per_replica", "users_per_replica", "served_users", "fitting_users", "is_fast",
    "sequences", "users",
)  # fmt: skip


def _or_dash(value: object) -> object:
    return NOTHING if value is None else value
