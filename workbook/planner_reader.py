"""Read a filled planner: its rows, and every result that differs from `core` or is no longer a formula."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from openpyxl import load_workbook
from openpyxl.cell.cell import TYPE_FORMULA as FORMULA
from openpyxl.packaging.relationship import get_dependents, get_rels_path
from openpyxl.utils import get_column_letter, quote_sheetname, range_boundaries
from openpyxl.worksheet.table import Table
from openpyxl.xml.functions import fromstring

from core.catalog import CatalogModel
from core.errors import PlannerError, WrongTypeError
from core.model.own_model import own_model
from core.plan.fleet import layout_title
from core.plan.serving import RULE
from core.units import GB
from workbook import garbage_collection
from workbook.changed_cells import Changes, changed_cells
from workbook.files import UnreadableFileError
from workbook.formulas import OK
from workbook.labels import LANGUAGES, Labels
from workbook.package import sheet_of_part
from workbook.planner_prices import FilledPrices, cells_named, filled_prices
from workbook.scenario import FIELDS, ONE_OF, GivenRow, Scenario, field_of_header, parse_scenario, plain_header
from workbook.sheets import models, prices, scenarios
from workbook.untrusted import check_package, damaged, is_workbook

DEPLOYED = ("layout", "replicas", "deploy", "nodes")  # results for which the planner has room in its first rows only
# The results that are compared, with the tolerance: rounding in the file, or rounding to whole bytes in core.
RESULTS = ("input_check", "weights", "kv", "overhead", "total", "gpus", *DEPLOYED)
RELATIVE_TOLERANCE = 1e-9
_ONE_BYTE_GB = 1 / GB

_LARGEST_TABLE_BYTES = 2**20  # of a table's definition, which holds no cells

NOT_AVAILABLE = "–"
_FORMER_NOT_AVAILABLE = "#N/A"  # what planners of former versions show
_FORMER_VALUES = {"engine": RULE}  # what planners of versions without these columns calculate with
MOST_ROWS = 2**20  # of a sheet: support.microsoft.com, "Excel specifications and limits"
_LAST_HEADER_ROW = 100  # without an Excel table, the header is searched down to this row

_RESULT_BY_HEADER = {
    plain_header(scenarios.header(Labels(lang), result)): result for result in RESULTS for lang in LANGUAGES
}
# Headings of former versions, which now are those of other figures: they count where the present ones are missing.
_RESULT_BY_FORMER_HEADER = {
    plain_header(Labels(lang)(f"scenarios.{result}")): result for result in DEPLOYED for lang in LANGUAGES
} | {"副本切分": "layout"}


class Kind(Enum):
    """What is wrong with a result: another value, a constant instead of the formula, or a blank cell."""

    DIFFERS = "differs"
    OVERWRITTEN = "overwritten"
    BLANK = "blank"


@dataclass(frozen=True)
class Difference:
    """A result that is not what `core` computes.

    Attributes:
        cell: its address ("Scenarios!J7").
        stored, expected: a number in GB or GPUs, or the text or error that the cell shows.
    """

    cell: str
    result: str
    kind: Kind
    stored: object
    expected: object


@dataclass(frozen=True, kw_only=True)
class PlannerRow:
    """One row of a filled planner.

    Attributes:
        number: the row of the sheet.
        inputs: the values of its input cells: field → value.
        scenario: the scenario that they describe; None if they are not usable.
        problems: why the inputs are not usable.
        differences: the results that differ from `core`.
        uncalculated: the number of formulas without a stored value; no spreadsheet program has calculated the file.
    """

    number: int
    inputs: Mapping[str, object]
    scenario: Scenario | None
    problems: tuple[PlannerError, ...]
    differences: tuple[Difference, ...]
    uncalculated: int


@dataclass(frozen=True)
class _Place:
    """Where the scenarios are in the workbook.

    Attributes:
        inputs, results: field → column number.
        last_row: the last row of the Excel table; None without a table.
        has_totals: whether a totals row, which is not a scenario, follows the last row.
    """

    sheet: str
    header_row: int
    inputs: Mapping[str, int]
    results: Mapping[str, int]
    last_row: int | None = None
    has_totals: bool = False

    @property
    def first_column(self) -> int:
        return min(*self.inputs.values(), *self.results.values())

    @property
    def last_column(self) -> int:
        return max(*self.inputs.values(), *self.results.values())


class Planner:
    """A filled planner. Its rows are read as a stream and can be read more than once.

    Raises:
        UnreadableFileError: the file is not an .xlsx, is damaged or unsafe, or lacks the planner's columns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not is_workbook(path):
            raise UnreadableFileError(str(path), "it is not an .xlsx workbook", "Save the planner as .xlsx in Excel.")
        check_package(path)
        self._place = self._find()
        self._own_models = self._read_own_models()

    @property
    def sheet(self) -> str:
        return self._place.sheet

    def given_rows(self) -> Iterator[GivenRow]:
        """Yield every row that is not blank; its place names the row on the sheet."""
        for row in self:
            yield GivenRow(f"{self.sheet} row {row.number}", row.scenario, row.problems)

    def prices(self) -> FilledPrices | None:
        """Return the prices of the planner's offers; None if it has no table of them."""
        for sheet, table in self._tables():
            if table.displayName == prices.TABLE:
                with self._workbook(data_only=True) as workbook:
                    return filled_prices(workbook, sheet, table.ref)
        return None

    @property
    def has_measured_speeds(self) -> bool:
        """Whether the user typed measured speeds on Options."""
        with self._workbook(data_only=True) as workbook:
            return any(isinstance(value, (int, float)) for (value,) in cells_named(workbook, "given_speeds"))

    def __iter__(self) -> Iterator[PlannerRow]:
        place = self._place
        for number, (cells, stored) in enumerate(self._rows(), start=place.header_row + 1):
            if number > MOST_ROWS:  # a damaged file can state any row number, and openpyxl fills the gap with rows
                raise damaged(self.path, ValueError(f"it has a row {number:,}"))
            row = _Row(place, number, cells, stored, self._own_models)
            if not row.is_blank:
                yield row.read()
            elif place.last_row is not None and number > place.last_row:
                return

    def changes(self) -> Changes:
        """Return the cells, on any sheet, whose formula or catalog figure was overwritten."""
        with garbage_collection.paused(), _refuse_damaged(self.path):
            return changed_cells(self.path, self._tables())

    def _rows(self) -> Iterator[tuple[tuple, tuple]]:
        """Yield (cells, stored values) of every row below the header."""
        place = self._place
        area = {
            "min_row": place.header_row + 1,
            "max_row": place.last_row if place.has_totals else None,
            "min_col": place.first_column,
            "max_col": place.last_column,
        }
        with self._workbook(data_only=False) as formulas, self._workbook(data_only=True) as values:
            sheets = formulas[place.sheet], values[place.sheet]
            for ws in sheets:
                ws.reset_dimensions()  # the size stated in the file may be out of date
            yield from zip(sheets[0].iter_rows(**area), sheets[1].iter_rows(values_only=True, **area))

    @contextmanager
    def _workbook(self, *, data_only: bool):
        with warnings.catch_warnings(), _refuse_damaged(self.path):
            warnings.simplefilter("ignore", UserWarning)  # openpyxl warns of parts that it would not save
            workbook = load_workbook(self.path, read_only=True, data_only=data_only, keep_links=False)
            try:
                yield workbook
            finally:
                workbook.close()

    def _find(self) -> _Place:
        with self._workbook(data_only=True) as workbook:
            for sheet, table in sorted(self._tables(), key=lambda found: found[1].displayName != scenarios.TABLE):
                _, first_row, _, last_row = range_boundaries(table.ref)
                if table.headerRowCount == 0 or sheet not in workbook.sheetnames:
                    continue
                for place in _headers(workbook[sheet], first_row, first_row):
                    totals = table.totalsRowCount or 0
                    return replace(place, last_row=last_row - totals, has_totals=bool(totals))
            for ws in workbook.worksheets:
                for place in _headers(ws, 1, _LAST_HEADER_ROW):
                    return place
        names = ", ".join(Labels("en")(f"scenarios.{key}") for key in ("model", "context", "users"))
        raise UnreadableFileError(
            str(self.path),
            "it has no table of scenarios",
            f"Start from the file that `vram template` writes; its table has the columns {names} and more.",
        )

    def _read_own_models(self) -> dict[str, CatalogModel]:
        """Read the user's own models from the first rows of the table of models."""
        areas = [(sheet, table.ref) for sheet, table in self._tables() if table.displayName == models.TABLE]
        if not areas:
            return {}
        sheet, area = areas[0]
        first_column, first_row, last_column, _ = range_boundaries(area)
        with self._workbook(data_only=True) as workbook:
            ws = workbook[sheet]
            ws.reset_dimensions()
            rows = ws.iter_rows(
                min_row=first_row, max_row=first_row + len(models.OWN_MODELS), min_col=first_column,
                max_col=last_column, values_only=True,
            )  # fmt: skip
            header = [_OWN_COLUMN_BY_HEADER.get(plain_header(text or "")) for text in next(rows, ())]
            own = [dict(zip(header, cells)) for cells in rows]
        return {str(cells.get("model")): model for cells in own for model in [_own_model(cells)] if model}

    def _tables(self) -> list[tuple[str, Table]]:
        """Return (sheet, table) of every table."""
        with zipfile.ZipFile(self.path) as package, _refuse_damaged(self.path):
            parts = set(package.namelist())
            return [
                (sheet, Table.from_tree(fromstring(package.read(relation.target))))
                for part, sheet in sheet_of_part(package).items()
                if get_rels_path(part) in parts
                for relation in get_dependents(package, get_rels_path(part))
                if relation.Type.endswith("/table")
                and package.getinfo(relation.target).file_size <= _LARGEST_TABLE_BYTES  # it may point to a sheet
            ]


class _Row:
    """One row while it is read: its cells with their formulas and their stored values."""

    def __init__(
        self, place: _Place, number: int, cells: tuple, stored: tuple, own_models: Mapping[str, CatalogModel]
    ) -> None:
        first = place.first_column
        self._own_models = own_models
        self._place = place
        self._number = number
        self._inputs = {key: (cells[i - first], stored[i - first]) for key, i in place.inputs.items()}
        self._results = {key: (cells[i - first], stored[i - first]) for key, i in place.results.items()}

    @property
    def is_blank(self) -> bool:
        """Whether all inputs are blank; an unused row of the table still has formulas."""
        return all(cell.value in (None, "") for cell, _ in self._inputs.values())

    def read(self) -> PlannerRow:
        # The index of an exported file refers to its pages, which show a blank as a dash.
        inputs = {
            field: None if cell.data_type == FORMULA and stored == NOT_AVAILABLE else stored
            for field, (cell, stored) in self._inputs.items()
        }
        scenario, problems = parse_scenario(_FORMER_VALUES | inputs, self._own_models)
        expected = _expected(scenario)
        if self._number - self._place.header_row > scenarios.MOST_SCENARIOS:  # without layouts
            expected = {result: value for result, value in expected.items() if result not in DEPLOYED}
        differences, uncalculated = [], 0
        for result, (cell, stored) in self._results.items():
            if result not in expected:
                continue
            if cell.data_type == FORMULA and stored is None:
                uncalculated += 1
            elif kind := _kind(result, cell, stored, expected[result]):
                differences.append(Difference(self._address(result), result, kind, stored, expected[result]))
        return PlannerRow(
            number=self._number,
            inputs=inputs,
            scenario=scenario,
            problems=tuple(self._uncalculated_input(problem) or problem for problem in problems),
            differences=tuple(differences),
            uncalculated=uncalculated,
        )

    def _uncalculated_input(self, problem: PlannerError) -> PlannerError | None:
        """Return a better error than "it is blank" for an input that is a formula without a stored value."""
        cell, stored = self._inputs.get(problem.field, (None, None))
        if cell is not None and cell.data_type == FORMULA and stored is None:
            remedy = "Open the file in Excel and save it."
            return WrongTypeError(problem.field, "its formula has no stored value", remedy)
        return None

    def _address(self, result: str) -> str:
        sheet = self._place.sheet if self._place.sheet.isalnum() else quote_sheetname(self._place.sheet)
        return f"{sheet}!{get_column_letter(self._place.results[result])}{self._number}"


def _kind(result: str, cell, stored: object, expected: object) -> Kind | None:
    if stored is None or stored == "":
        return Kind.BLANK
    if cell.data_type != FORMULA:
        return Kind.OVERWRITTEN
    return None if _agrees(result, stored, expected) else Kind.DIFFERS


def _expected(scenario: Scenario | None) -> Mapping[str, object]:
    """Return what each result's cell should show."""
    if scenario is None:
        return dict.fromkeys(RESULTS, NOT_AVAILABLE) | {"input_check": "not OK"}
    needs, best = scenario.estimate, scenario.smallest
    deployed: dict[str, object] = dict.fromkeys(DEPLOYED, NOT_AVAILABLE)
    if best is not None:
        deployed = {
            "layout": layout_title(best.replica.tp, best.replica.pp),
            "replicas": best.replicas,
            "deploy": best.gpus,
            "nodes": best.nodes,
        }
    return deployed | {
        "input_check": OK,
        "weights": needs.weights_bytes / GB,
        "kv": needs.kv_bytes / GB,
        "overhead": needs.overhead_bytes / GB,
        "total": needs.total_bytes / GB,
        "gpus": scenario.gpus_by_division,
    }


def _agrees(result: str, stored: object, expected: object) -> bool:
    if result == "input_check":
        return (stored == OK) == (expected == OK)
    if expected == NOT_AVAILABLE:
        return stored in (NOT_AVAILABLE, _FORMER_NOT_AVAILABLE)
    if not isinstance(expected, (int, float)) or isinstance(stored, bool) or not isinstance(stored, (int, float)):
        return stored == expected
    return abs(stored - expected) <= max(RELATIVE_TOLERANCE * abs(expected), _ONE_BYTE_GB)


def _headers(ws, first_row: int, last_row: int) -> Iterator[_Place]:
    """Yield a place for each row whose cells are the headings of all required inputs."""
    ws.reset_dimensions()
    rows = ws.iter_rows(min_row=first_row, max_row=last_row, values_only=True)
    for number, cells in enumerate(rows, start=first_row):
        inputs: dict[str, int] = {}
        results: dict[str, int] = {}
        former: dict[str, int] = {}
        for column, text in enumerate(cells, start=1):
            if field := field_of_header(text):
                inputs.setdefault(field, column)
            elif isinstance(text, str) and (result := _RESULT_BY_HEADER.get(plain_header(text))):
                results.setdefault(result, column)
            elif isinstance(text, str) and (result := _RESULT_BY_FORMER_HEADER.get(plain_header(text))):
                former.setdefault(result, column)
        required = [field.name for field in FIELDS if field.in_every_planner]
        if all(field in inputs for field in required) and any(field in inputs for field in ONE_OF):
            yield _Place(ws.title, number, inputs, former | results)


_OWN_COLUMN_BY_HEADER = {
    plain_header(heading): key for lang in LANGUAGES for key, heading in models.headers(Labels(lang)).items()
}


def _own_model(cells: Mapping[str | None, object]) -> CatalogModel | None:
    """Return the model described by a row of own models; None if it is not filled with whole numbers."""

    def whole(key: str) -> int:
        value = cells.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return 0
        return int(value) if value == value // 1 else 0

    name, layers, windowed = cells.get("model"), whole("layers"), whole("windowed_layers")
    sizes = [whole(key) for key in ("parameters", "kv_heads", "head_dim")]
    if not isinstance(name, str) or min(*sizes, layers) < 1 or not 0 <= windowed <= layers:
        return None
    spec = own_model(
        name,
        parameters=sizes[0],
        num_hidden_layers=layers,
        num_key_value_heads=sizes[1],
        head_dim=sizes[2],
        windowed_layers=windowed,
        sliding_window=whole("window"),
        max_position_embeddings=whole("max_context") or None,
    )
    return CatalogModel(
        name=name, aliases=(), title=name, developer="", licence="", spec=spec, published_parameters=None,
        source="the Models sheet of this planner", as_of="",
    )  # fmt: skip


@contextmanager
def _refuse_damaged(path: Path) -> Iterator[None]:
    """Turn any error that a damaged file causes in the parsing libraries into one refusal."""
    try:
        yield
    except PlannerError:
        raise
    except Exception as error:
        raise damaged(path, error) from error
