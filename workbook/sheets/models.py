"""Write the Models sheet: the user's own models, and the figures that determine each catalog model's memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from openpyxl.utils import get_column_letter

from core import catalog
from core.catalog import CatalogModel
from core.catalog.draft_models import DraftedModel, drafted_models
from core.checks import LIMITS
from core.engines.served import with_draft_layers
from core.errors import UnsupportedModelError
from core.model.counts import model_counts
from core.model.kv_profile import KvProfile
from core.model.mixers import FullAttention, SlidingWindowAttention
from core.model.spec import ModelSpec
from core.model.weights import weights_bytes
from core.plan.cache_formats import attention_kind
from core.plan.details import shipped_as
from core.plan.layout_figures import MODEL_FIGURES, has_shapes, model_figures
from core.plan.serving import served_precision
from workbook import formulas as f
from workbook import styles
from workbook.book import (
    COUNT_FORMAT,
    Book,
    between_rule,
    filterable,
    heading,
    one_line,
    protect,
    put,
    put_formula,
    table,
    text_rule,
    validate,
)
from workbook.labels import Labels
from workbook.sheets import precisions

TABLE = "Models"
HEADER_ROW = 5
FIRST_ROW = HEADER_ROW + 1
OWN_MODELS = tuple(f"own-{number}" for number in range(1, 6))
_LAST_OWN_ROW = FIRST_ROW + len(OWN_MODELS) - 1
_LONGEST_NAME = 60  # characters

Value = Callable[[CatalogModel], object]
Formula = Callable[["Row"], str]


class Row:
    """The cells of one row: `row("layers")` is the address of its cell in the column "layers"."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, key: str) -> str:
        return f"${_LETTER[key]}{self.number}"


@dataclass(frozen=True)
class ModelColumn:
    """One column of the sheet.

    Attributes:
        key: its key in formulas.
        header: returns its heading in a language.
        value: returns its value for a catalog model.
        of_pair: returns its value for a model and another one that drafts for it; None: that of the model alone.
        own: for the user's own models: the key of an input's limits, or the formula of a calculated cell.
        of_own: for the user's own models: the constant of a cell that is not calculated.
    """

    key: str
    header: Callable[[Labels], str]
    width: float
    role: str
    number_format: str | None
    value: Value
    own: str | Formula | None = None
    of_own: object = None
    of_pair: Callable[[ModelSpec, CatalogModel], object] | None = None

    def of(self, drafted: DraftedModel) -> object:
        """Return its value for a model of the catalog, or for a pair."""
        if drafted.draft is None or self.of_pair is None:
            return self.value(drafted.model)
        return self.of_pair(drafted.model.spec, drafted.draft)


def _labelled(key: str) -> Callable[[Labels], str]:
    return lambda labels: labels(f"models.{key}")


def _column(
    key: str, width: float, role: str, number_format: str | None, value: Value, own: str | Formula | None = None
) -> ModelColumn:
    return ModelColumn(key, _labelled(key), width, role, number_format, value, own)


def _count(key: str, width: float, value: Value, own: str | Formula | None = None) -> ModelColumn:
    return _column(key, width, styles.FORMULA, COUNT_FORMAT, value, own)


_TWO = "(1+1)"  # a key and a value, or the bytes of a 16-bit value


def _own_values(layers: str, heads: str, head_dim: str) -> str:
    return f"{layers}*{heads}*{head_dim}*{_TWO}"


_BASE = (
    _column("model", 30, styles.LABEL, None, lambda model: model.name, "name"),
    _column("model_title", 30, styles.LABEL, None, lambda model: model.title),
    _column("developer", 14, styles.LABEL, None, lambda model: model.developer),
    _count("parameters", 18, lambda model: model_counts(model.spec).parameters.total, "parameters"),
    _count("active", 18, lambda model: model_counts(model.spec).parameters.active),
    _column("published", 18, styles.SOURCE_FIGURE, COUNT_FORMAT, lambda model: model.published_parameters),
    _column("shipped_as", 22, styles.LABEL, None, lambda model: shipped_as(model.spec)),
    _count(
        "shipped_bytes", 20, lambda model: weights_bytes(model.spec), lambda row: f"{row('parameters')}*{_TWO}"
    ),
    _count("layers", 8, lambda model: model.spec.num_hidden_layers, "num_hidden_layers"),
    _count("windowed_layers", 11, lambda model: _windowed_layers(model), "windowed_layers"),  # noqa: PLW0108  defined below
    _count("hidden", 10, lambda model: model.spec.hidden_size),
    _count("kv_heads", 9, lambda model: _heads(model, "num_key_value_heads"), "num_key_value_heads"),
    _count("head_dim", 9, lambda model: _heads(model, "head_dim"), "head_dim"),
    _count(
        "values_per_token", 13, lambda model: _kv(model).values_per_token,
        lambda row: _own_values(f"({row('layers')}-{row('windowed_layers')})", row("kv_heads"), row("head_dim")),
    ),
    _count("window", 10, lambda model: _window(_kv(model), 0)[0], "window"),
    _count(
        "windowed_values", 15, lambda model: _window(_kv(model), 0)[1],
        lambda row: _own_values(row("windowed_layers"), row("kv_heads"), row("head_dim")),
    ),
    _count("window_2", 10, lambda model: _window(_kv(model), 1)[0]),
    _count("windowed_values_2", 15, lambda model: _window(_kv(model), 1)[1]),
    _count("fixed_values", 13, lambda model: _kv(model).fixed_values),
    _count("fixed_bytes", 13, lambda model: _kv(model).fixed_bytes),
    _count("index_bytes", 13, lambda model: _kv(model).index_bytes_per_token),
    _count("max_context", 11, lambda model: model.spec.max_position_embeddings, "max_position_embeddings"),
    _column("licence", 28, styles.NOTE, None, lambda model: model.licence),
    _column("source", 60, styles.NOTE, None, lambda model: model.source),
    _column("as_of", 12, styles.NOTE, None, lambda model: model.as_of),
)  # fmt: skip


def _format_column(name: str) -> ModelColumn:
    """Return the column of the weights in a format with scales, whose bytes depend on the shapes of the tensors."""

    def own(row: Row) -> str:
        heading_cell = f"{_LETTER[f'format_{name}']}${HEADER_ROW}"
        return f"ROUNDUP({row('parameters')}*{precisions.bytes_of(heading_cell)},0)"

    return ModelColumn(
        f"format_{name}", lambda labels: name, 18, styles.FORMULA, COUNT_FORMAT,
        lambda model: weights_bytes(model.spec, catalog.precision("precision", name)), own,
    )  # fmt: skip


def _served_column(name: str) -> ModelColumn:
    """Return the column of the format in which vLLM serves a precision that names only a width."""

    def value(model: CatalogModel) -> object:
        found = served_precision(model.spec, catalog.precision("precision", name))
        return precisions.SHIPPED if found is None else found.name

    return ModelColumn(
        f"served_{name}", lambda labels: labels("models.served", precision=name), 13, styles.LABEL, None, value,
        of_own=name,
    )  # fmt: skip


def key_of_figure(name: str) -> str:
    """Return the key of the column with a figure of `core.plan.layout_figures.ModelFigures`."""
    # The model's own windows have the plain keys; these are as vLLM's blocks have them.
    return f"vllm_{name}" if name in ("window", "window_2", "window_3") else name


def _engine_column(
    key: str, value: Value, of_pair: Callable[[ModelSpec, CatalogModel], object] | None = None
) -> ModelColumn:
    """Return the column of a number that the rule does not use, 0 for own models."""
    return ModelColumn(key, _labelled(key), 11, styles.FORMULA, COUNT_FORMAT, value, of_own=0, of_pair=of_pair)


def _figure_column(name: str) -> ModelColumn:
    """Return the column of a figure for vLLM's budget."""
    return _engine_column(
        key_of_figure(name),
        lambda model: getattr(model_figures(model.spec), name),
        lambda spec, draft: getattr(model_figures(spec, draft.spec), name),
    )


_COLUMNS = (
    *_BASE,
    *(_format_column(name) for name in precisions.FORMATS),
    ModelColumn(
        "format_shipped",
        lambda labels: precisions.SHIPPED,
        18,
        styles.FORMULA,
        COUNT_FORMAT,
        lambda model: weights_bytes(model.spec),
        lambda row: row("shipped_bytes"),
    ),
    *map(_served_column, precisions.SERVED),
    _engine_column("has_shapes", lambda model: int(has_shapes(model.spec))),
    *(_figure_column(name) for name in MODEL_FIGURES if name != "shipped_kernels"),
    _figure_column("shipped_kernels"),
    _engine_column(
        "drafting_kernels",
        lambda model: model_figures(with_draft_layers(model.spec)).shipped_kernels,
        lambda spec, _: model_figures(spec).shipped_kernels,
    ),
    _engine_column("attention_kind", lambda model: attention_kind(model.spec)),
    _engine_column(
        "mtp_layers",
        lambda model: model.spec.drafts.count if model.spec.drafts else 0,
        lambda _, draft: draft.spec.num_hidden_layers,
    ),
    ModelColumn(
        "draft_model",
        _labelled("draft_model"),
        28,
        styles.LABEL,
        None,
        lambda _: None,
        of_pair=lambda _, draft: draft.name,
    ),
    ModelColumn(
        "cache",
        _labelled("cache"),
        13,
        styles.LABEL,
        None,
        lambda model: catalog.cache_precision(model.spec).name,
        of_own=catalog.USUAL_CACHE,
    ),
)
_LETTER = {column.key: get_column_letter(number) for number, column in enumerate(_COLUMNS, start=1)}
# Limits of the inputs of own models that LIMITS lacks or has wider: (least, most, whole).
_OWN_LIMITS = {
    "parameters": (1_000, 10**14, True),
    "windowed_layers": (0, LIMITS["num_hidden_layers"].most, True),
    "window": (1, LIMITS["context"].most, True),
}


def write(book: Book) -> None:
    """Write the sheet and define its names, such as `model_names`. The sheet Precisions must exist."""
    labels = book.labels
    ws = book.sheet("models", [column.width for column in _COLUMNS])
    heading(ws, labels("models.title"), labels("models.subtitle"))
    put(ws, "A3", styles.SUBTITLE, labels("models.own_note"))
    for column in _COLUMNS:
        put(ws, f"{_LETTER[column.key]}{HEADER_ROW}", styles.HEADING, column.header(labels))
    ws.row_dimensions[HEADER_ROW].height = 58
    for row, name in enumerate(OWN_MODELS, start=FIRST_ROW):
        _write_own(ws, row, name)
    rows = drafted_models()
    for row, drafted in enumerate(rows, start=_LAST_OWN_ROW + 1):
        if len(_kv(drafted.model).windowed) > 2:
            problem = "it has sliding windows of more than two sizes, and the workbook has columns for two"
            raise UnsupportedModelError(drafted.name, problem, "Remove it from your file of models.")
        for number, column in enumerate(_COLUMNS, start=1):
            put(ws, (row, number), column.role, column.of(_named(labels, drafted)), column.number_format)
    last, last_model = _LAST_OWN_ROW + len(rows), _LAST_OWN_ROW + len(catalog.models())
    one_line(ws, FIRST_ROW, last)
    columns = [column.header(labels) for column in _COLUMNS]
    table(ws, TABLE, f"A{HEADER_ROW}:{_LETTER[_COLUMNS[-1].key]}{last}", columns, {})
    filterable(ws, TABLE)
    parameters = _LETTER["parameters"]
    book.name("catalog_parameters", ws, f"{parameters}{_LAST_OWN_ROW + 1}:{parameters}{last}")
    book.name("model_names", ws, f"A{FIRST_ROW}:A{last_model}")
    drafts = _LETTER["draft_model"]
    last_draft = last_model + max(1, len({drafted.draft.name for drafted in rows if drafted.draft}))
    book.name("draft_names", ws, f"{drafts}{last_model + 1}:{drafts}{last_draft}")
    first_format, last_format = _LETTER[f"format_{precisions.FORMATS[0]}"], _LETTER["format_shipped"]
    book.name("format_bytes", ws, f"{first_format}{FIRST_ROW}:{last_format}{last}")
    first_served, last_served = (_LETTER[f"served_{precisions.SERVED[i]}"] for i in (0, -1))
    first_kernels, last_kernels = (_LETTER[key] for key in ("shipped_kernels", "drafting_kernels"))
    book.name("shipped_kernels", ws, f"{first_kernels}{FIRST_ROW}:{last_kernels}{last}")
    book.name("served_names", ws, f"{first_served}{FIRST_ROW}:{last_served}{last}")
    book.name("cache_names", ws, f"{_LETTER['cache']}{FIRST_ROW}:{_LETTER['cache']}{last}")
    _validate_own(book, ws)
    ws.freeze_panes = f"B{FIRST_ROW}"
    ws.print_title_rows = f"{HEADER_ROW}:{HEADER_ROW}"
    ws.print_area = f"A1:{_LETTER['shipped_as']}{last}"  # the rest is too much for paper
    protect(ws)


def _named(labels: Labels, drafted: DraftedModel) -> DraftedModel:
    """Return a pair with the names under which the sheet lists it; a model alone as it is."""
    if drafted.draft is None:
        return drafted
    title = labels("models.with_draft", model=drafted.model.title, draft=drafted.draft.title)
    return replace(drafted, model=replace(drafted.model, name=drafted.name, title=title))


def column(book: Book, key: str) -> str:
    """Return the reference to a whole column."""
    return f.whole_column(TABLE, _COLUMN[key].header(book.labels))


_COLUMN = {column.key: column for column in _COLUMNS}


def looked_up_field(book: Book, key: str, name: str) -> str:
    """Return a formula for the field `key` of the model named in the cell `name`."""
    return f.looked_up(name, column(book, "model"), column(book, key))


def field_at(book: Book, key: str, row: str) -> str:
    """Return a formula for the field `key` of the model in row `row` (a cell) of the table."""
    return f"INDEX({column(book, key)},{row})"


def row_of(book: Book, name: str) -> str:
    """Return a formula for the table row of the model named in the cell `name`."""
    return f"MATCH({name},{column(book, 'model')},0)"


def kv_bytes_per_token(book: Book, name: str, bytes_per_value: str) -> str:
    """Return a formula for the bytes that each further token adds to a long sequence of the model named in `name`."""
    values, index_bytes = (looked_up_field(book, key, name) for key in ("values_per_token", "index_bytes"))
    return f"{values}*{bytes_per_value}+{index_bytes}"


def own_cell(key: str, number: int) -> str:
    """Return the cell of the column `key` of own model number `number`, counted from 0."""
    return f"{_LETTER[key]}{FIRST_ROW + number}"


def own_inputs() -> dict[str, str]:
    """Return the input cells of the first own model: column key → address."""
    return {column.key: f"{_LETTER[column.key]}{FIRST_ROW}" for column in _COLUMNS if isinstance(column.own, str)}


def headers(labels: Labels) -> dict[str, str]:
    """Return column key → heading, with which a filled planner is read."""
    return {column.key: column.header(labels) for column in _COLUMNS}


def _write_own(ws, row: int, name: str) -> None:
    at = Row(row)
    for column in _COLUMNS:
        cell = f"{_LETTER[column.key]}{row}"
        if callable(column.own):
            put_formula(ws, cell, column.role, column.own(at), column.number_format)
        elif column.own == "name":
            put(ws, cell, styles.INPUT_TEXT, name)
        elif column.own:
            put(ws, cell, styles.INPUT, None, COUNT_FORMAT)
        elif column.of_own is not None:
            put(ws, cell, column.role, column.of_own, column.number_format)
        elif column.role == styles.FORMULA and column.key.startswith(("window", "fixed", "index")):
            put(ws, cell, column.role, 0, column.number_format)
        else:
            put(ws, cell, column.role)


def _validate_own(book: Book, ws) -> None:
    labels = book.labels
    for column in _COLUMNS:
        if not isinstance(column.own, str):
            continue
        letter = _LETTER[column.key]
        if column.own == "name":
            rule = text_rule(_LONGEST_NAME)
        else:
            if column.own in LIMITS and column.own not in _OWN_LIMITS:
                limits = LIMITS[column.own]
                least, most, whole = limits.least, limits.most, limits.whole
            else:
                least, most, whole = _OWN_LIMITS[column.own]
            rule = between_rule(f"{least:.0f}", f"{most:.0f}", whole=whole)
        title, prompt = column.header(labels), labels(f"prompt.own_{column.key}")
        cells = f"{letter}{FIRST_ROW}:{letter}{_LAST_OWN_ROW}"
        validate(ws, cells, rule, title=title, prompt=prompt, wrong_title=labels("prompt.wrong_title"))
        rule.allow_blank = True  # rows may stay unused


def _kv(model: CatalogModel) -> KvProfile:
    return model_counts(model.spec).kv


def _window(kv: KvProfile, number: int) -> tuple[int, int]:
    return kv.windowed[number] if number < len(kv.windowed) else (0, 0)


def _windowed_layers(model: CatalogModel) -> int:
    return sum(run.count for run in model.spec.layers if isinstance(run.mixer, SlidingWindowAttention))


def _heads(model: CatalogModel, field: str) -> int | None:
    mixer = model.spec.layers[0].mixer
    known = isinstance(mixer, FullAttention) and model.spec.vocab_size is not None
    return getattr(mixer, field) if known else None
