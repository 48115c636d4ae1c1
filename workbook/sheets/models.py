"""The Models sheet: of every catalog model, what its memory follows from."""

from __future__ import annotations

from openpyxl.utils import get_column_letter

from core import catalog
from core.catalog import CatalogModel
from core.errors import UnsupportedModelError
from core.model_details import shipped_as
from core.model_spec import FullAttention
from core.sizing import footprint
from core.weights import weights_bytes
from workbook import formulas as f
from workbook import styles
from workbook.book import COUNT_FORMAT, Book, heading, protect, put, table

TABLE = "Models"
FIRST_ROW = 5

# (label key, column width, role, number format), in order
_COLUMNS = (
    ("model", 20, styles.LABEL, None),
    ("model_title", 24, styles.LABEL, None),
    ("developer", 14, styles.LABEL, None),
    ("parameters", 18, styles.FORMULA, COUNT_FORMAT),
    ("active", 18, styles.FORMULA, COUNT_FORMAT),
    ("published", 18, styles.SOURCE_FIGURE, COUNT_FORMAT),
    ("shipped_as", 14, styles.LABEL, None),
    ("shipped_bytes", 20, styles.FORMULA, COUNT_FORMAT),
    ("layers", 8, styles.FORMULA, COUNT_FORMAT),
    ("hidden", 10, styles.FORMULA, COUNT_FORMAT),
    ("kv_heads", 9, styles.FORMULA, COUNT_FORMAT),
    ("head_dim", 9, styles.FORMULA, COUNT_FORMAT),
    ("values_per_token", 13, styles.FORMULA, COUNT_FORMAT),
    ("window", 10, styles.FORMULA, COUNT_FORMAT),
    ("windowed_values", 15, styles.FORMULA, COUNT_FORMAT),
    ("window_2", 10, styles.FORMULA, COUNT_FORMAT),
    ("windowed_values_2", 15, styles.FORMULA, COUNT_FORMAT),
    ("fixed_values", 13, styles.FORMULA, COUNT_FORMAT),
    ("fixed_bytes", 13, styles.FORMULA, COUNT_FORMAT),
    ("index_bytes", 13, styles.FORMULA, COUNT_FORMAT),
    ("max_context", 11, styles.FORMULA, COUNT_FORMAT),
    ("licence", 28, styles.NOTE, None),
    ("source", 60, styles.NOTE, None),
    ("as_of", 10, styles.NOTE, None),
)
_LETTERS = [get_column_letter(number) for number in range(1, len(_COLUMNS) + 1)]
# The columns that a KV formula looks up, in the order of its arguments.
_KV_COLUMNS = (
    "values_per_token", "window", "windowed_values", "window_2", "windowed_values_2", "fixed_values", "fixed_bytes",
    "index_bytes",
)  # fmt: skip


def write(book: Book) -> None:
    """Writes the sheet and defines `model_names`."""
    labels = book.labels
    ws = book.sheet("models", [width for _, width, _, _ in _COLUMNS])
    heading(ws, labels("models.title"), labels("models.subtitle"))
    columns = [labels(f"models.{key}") for key, *_ in _COLUMNS]
    for letter, column in zip(_LETTERS, columns):
        put(ws, f"{letter}{FIRST_ROW - 1}", styles.HEADING, column)
    ws.row_dimensions[FIRST_ROW - 1].height = 42
    rows = catalog.models()
    for i, model in enumerate(rows, start=FIRST_ROW):
        values = _values(model)
        for letter, (key, _, role, number_format) in zip(_LETTERS, _COLUMNS):
            put(ws, f"{letter}{i}", role, values[key], number_format)
    last = FIRST_ROW + len(rows) - 1
    table(ws, TABLE, f"A{FIRST_ROW - 1}:{_LETTERS[-1]}{last}", columns, {})
    book.name("model_names", ws, f"A{FIRST_ROW}:A{last}")
    ws.freeze_panes = f"B{FIRST_ROW}"
    ws.print_title_rows = f"{FIRST_ROW - 1}:{FIRST_ROW - 1}"
    protect(ws)


def column(book: Book, key: str) -> str:
    """A whole column, for formulas."""
    return f.whole_column(TABLE, book.labels(f"models.{key}"))


def looked_up_field(book: Book, key: str, name: str) -> str:
    """Formula: the field `key` of the model that the cell `name` names."""
    return f.looked_up(name, column(book, "model"), column(book, key))


def weights_gb(book: Book, name: str, bytes_per_value: str) -> str:
    """Formula: the weights of the model that the cell `name` names."""
    return f.weights_gb(looked_up_field(book, "parameters", name), bytes_per_value)


def kv_bytes_per_token(book: Book, name: str, bytes_per_value: str) -> str:
    """Formula: the bytes by which a long sequence of the model that `name` names grows with each token."""
    values, index_bytes = (looked_up_field(book, key, name) for key in ("values_per_token", "index_bytes"))
    return f"{values}*{bytes_per_value}+{index_bytes}"


def kv_gb(book: Book, name: str, context: str, users: str, bytes_per_value: str) -> str:
    """Formula: the KV cache of `users` sequences of `context` tokens each, of the model that `name` names."""
    fields = (looked_up_field(book, key, name) for key in _KV_COLUMNS)
    return f.kv_gb(*fields, context=context, users=users, value_bytes=bytes_per_value)


def _values(model: CatalogModel) -> dict[str, object]:
    known = footprint(model.spec)
    windows = [*known.kv.windowed, (0, 0), (0, 0)]
    if len(known.kv.windowed) > 2:
        raise UnsupportedModelError(
            model.name, "it has windows of more than two sizes, for which the workbook has no columns", "Leave it out."
        )
    mixer = model.spec.layers[0].mixer
    heads = mixer if isinstance(mixer, FullAttention) and model.spec.vocab_size is not None else None
    return {
        "model": model.name,
        "model_title": model.title,
        "developer": model.developer,
        "parameters": known.parameters.total,
        "active": known.parameters.active,
        "published": model.published_parameters,
        "shipped_as": shipped_as(model.spec),
        "shipped_bytes": weights_bytes(model.spec),
        "layers": model.spec.num_hidden_layers,
        "hidden": model.spec.hidden_size,
        "kv_heads": heads and heads.num_key_value_heads,
        "head_dim": heads and heads.head_dim,
        "values_per_token": known.kv.values_per_token,
        "window": windows[0][0],
        "windowed_values": windows[0][1],
        "window_2": windows[1][0],
        "windowed_values_2": windows[1][1],
        "fixed_values": known.kv.fixed_values,
        "fixed_bytes": known.kv.fixed_bytes,
        "index_bytes": known.kv.index_bytes_per_token,
        "max_context": model.spec.max_position_embeddings,
        "licence": model.licence,
        "source": model.source,
        "as_of": model.as_of,
    }
