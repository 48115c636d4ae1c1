"""The `model` argument of the cell functions: anything that describes a model.

* a catalog name: "llama-3.1-70b";
* a number: billions of parameters, where only the weights are asked for;
* three numbers side by side or one below the other, {params_b, layers, hidden}: the article's way;
* a labelled range of config.json fields: labels in a column beside the values, in a row above them (with one model
  on every further row), or label and value in turn along one row;
* an array of any of these but labels: one model per cell, or per row of three numbers.
"""

from __future__ import annotations

from typing import NoReturn

from core import catalog
from core.cells.broadcast import Array, parsed
from core.cells.values import CellError, Grid, error_code, is_blank
from core.checks import LIMITS, number
from core.errors import PlannerError, UnsupportedModelError, WrongTypeError, quoted
from core.model.spec import ModelSpec
from core.readers.architectures.known import known_fields
from core.readers.hf_config import spec_from_config
from core.texts import plain_letters, printable

# A row of three sizes in billions ({8,70,405}) must not be taken for a model: a hidden dimension is at least this wide
# and a multiple of this (the article's 8196 is one of 4), a model at most this deep.
_LEAST_HIDDEN_SIZE, _HIDDEN_SIZE_STEP, _MOST_LAYERS = 512, 4, 1000

_SHORT_LABELS = {"layers": "num_hidden_layers", "hidden": "hidden_size", "parameters_b": "params_b"}
_OF_A_WORKLOAD = {
    "context", "users", "overhead", "gpu_memory_gb", "gpu_memory_gib", "gpus", "tp", "pp", "memory_utilization",
    "max_batched_tokens", "max_sequences", "average_tokens",
}  # fmt: skip
_LABELS = frozenset(LIMITS) - _OF_A_WORKLOAD | {"name", "model_type"} | known_fields()

_NULL = "null"  # config.json's word for "there is none", where a blank cell means "as usual for this model_type"

ModelCell = ModelSpec | PlannerError


def model_cells(cells: Grid, *, size_is_enough: bool) -> Array:
    """The models that `cells` describe, and where there is none what is wrong.

    Args:
        cells: the argument.
        size_is_enough: whether a single number, billions of parameters, describes a model (weights alone).
    """
    flat = [value for row in cells for value in row]
    if 1 in (len(cells), len(cells[0])) and _is_triple(flat, or_sizes=size_is_enough):
        return Array([_of_triple(flat)], 1)
    if len(cells) > 1 and len(cells[0]) == 3 and all(_is_triple(row, or_sizes=size_is_enough) for row in cells):
        return Array([_of_triple(row) for row in cells], 1)
    labelled = _labelled_records(cells)
    if labelled is not None:
        return Array([_of_labels(pairs) for pairs in labelled], 1)
    return parsed(cells, size_or_model_of_cell if size_is_enough else model_of_cell)


def model_of_cell(value: object) -> ModelSpec:
    """The model whose name is in a cell.

    Raises:
        PlannerError: there is none.
    """
    if not isinstance(value, str):
        _check_cell(value)
        _not_a_size(value)
    try:
        return catalog.model(value).spec
    except PlannerError:
        _check_cell(value)  # an error's text and blanks are no names either, and have errors of their own
        raise


def size_or_model_of_cell(value: object) -> ModelSpec:
    """The same where billions of parameters are enough for a model."""
    if isinstance(value, str):
        return model_of_cell(value)
    _check_cell(value)
    return _of_size(value)


def _check_cell(value: object) -> None:
    code = error_code(value)
    if code is not None:
        raise CellError("model", code)
    if is_blank(value):
        raise WrongTypeError("model", "it is blank", 'Write a name such as "llama-3.1-70b".')


def _of_size(value: object) -> ModelSpec:
    params_b = number("params_b", value)
    return ModelSpec(name=f"{params_b:g}B", hidden_size=0, layers=(), stated_parameters=round(params_b * 10**9))


def _not_a_size(value: object) -> NoReturn:
    """The error of a number where a name is needed; one that is no size either keeps its kind of error."""
    remedy = "Write a name, or {billions of parameters, layers, hidden dimension}."
    try:
        number("params_b", value)
    except PlannerError as error:
        raise type(error)("model", error.problem, remedy) from error
    raise WrongTypeError(
        "model", f"{quoted(value)} is a number of parameters, which says nothing of the KV cache", remedy
    )


def _is_triple(values: list[object], *, or_sizes: bool) -> bool:
    """Whether three cells are meant as {params_b, layers, hidden}, right or wrong, rather than as three models.

    Args:
        values: the cells.
        or_sizes: whether three sizes in billions would be three models; then the layers have to look like layers.
    """
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(values) != 3 or len(numbers) != 3:
        return False
    _, layers, hidden = numbers
    return (
        abs(hidden) >= _LEAST_HIDDEN_SIZE
        and hidden % _HIDDEN_SIZE_STEP == 0
        and (not or_sizes or layers == layers // 1 <= _MOST_LAYERS)
    )


def _of_triple(values: list[object]) -> ModelCell:
    return _of_labels([list(pair) for pair in zip(("params_b", "num_hidden_layers", "hidden_size"), values)])


def _of_labels(pairs: Grid) -> ModelCell:
    try:
        fields = _fields(pairs)
        for label, value in fields.items():
            code = error_code(value)
            if code is not None:
                raise CellError(label, code)
        return spec_from_config({"model_type": "llama"} | fields, name=_text(fields.get("name", "custom model")))
    except PlannerError as error:
        return error


def _labelled_records(cells: Grid) -> list[Grid] | None:
    """The labelled models in `cells`, each as pairs of label and value; None if the range is not labelled."""
    rows, columns = len(cells), len(cells[0])
    if columns == 2 and any(_is_label(label) for label, _ in cells) and not any(_is_label(value) for _, value in cells):
        return [cells]
    if not any(_is_label(cell) for cell in cells[0]):
        return None
    if rows == 1:
        return [[cells[0][i : i + 2] for i in range(0, columns - 1, 2)]] if columns % 2 == 0 else None
    return [[list(pair) for pair in zip(cells[0], row)] for row in cells[1:]]


def _fields(pairs: Grid) -> dict[str, object]:
    fields: dict[str, object] = {}
    for cell, value in pairs:
        if is_blank(cell) or is_blank(value):
            continue
        label = _label(cell)
        if label not in _LABELS:
            raise UnsupportedModelError(
                printable(label), "this label is not understood", "Use the names of config.json."
            )
        if label in fields:
            raise UnsupportedModelError(label, "it is given twice", "Give it once.")
        fields[label] = None if value == _NULL and label != "name" else value
    return fields


def _text(value: object) -> str:
    return printable(value) if isinstance(value, str) else quoted(value)


def _is_label(value: object) -> bool:
    return isinstance(value, str) and _label(value) in _LABELS


def _label(value: object) -> str:
    label = plain_letters(value if isinstance(value, str) else quoted(value)).strip().lower().replace(" ", "_")
    return _SHORT_LABELS.get(label, label)
