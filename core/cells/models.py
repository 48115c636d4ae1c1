"""The `model` argument of the cell functions: anything that describes a model.

* a catalog name: "llama-3.1-70b";
* a number: billions of parameters, where only the weights are asked for;
* three numbers side by side or one below the other, {params_b, layers, hidden}: the article's way;
* a labelled range of config.json fields: labels in a column beside the values, in a row above them (with one model
  on every further row), or label and value in turn along one row;
* an array of any of these but labels: one model per cell, or per row of three numbers.
"""

from __future__ import annotations

from core import catalog
from core.cells.values import CellError, Grid, error_code, is_blank
from core.checks import LIMITS, number
from core.errors import PlannerError, UnsupportedModelError, WrongTypeError, quoted
from core.model_spec import ModelSpec
from core.readers.families import known_fields
from core.readers.hf_config import spec_from_config

# A row of three sizes in billions ({8,70,405}) must not be taken for a model: a hidden dimension is at least this wide
# and a multiple of this (the article's 8196 is one of 4), a model at most this deep.
_LEAST_HIDDEN_SIZE, _HIDDEN_SIZE_STEP, _MOST_LAYERS = 512, 4, 1000

_SHORT_LABELS = {"layers": "num_hidden_layers", "hidden": "hidden_size", "parameters_b": "params_b"}
_OF_A_WORKLOAD = frozenset({"context", "users", "overhead", "gpu_memory_gb", "tp"})
_LABELS = frozenset(LIMITS) - _OF_A_WORKLOAD | {"name", "model_type"} | known_fields()

ModelCell = ModelSpec | PlannerError


def model_cells(cells: Grid, *, size_is_enough: bool) -> list[list[ModelCell]]:
    """The models that `cells` describe, as a grid of models and, where there is none, of what is wrong.

    Args:
        cells: the argument.
        size_is_enough: whether a single number, billions of parameters, describes a model (weights alone).
    """
    if _is_triple([value for row in cells for value in row]) and 1 in (len(cells), len(cells[0])):
        return [[_of_triple([value for row in cells for value in row])]]
    if len(cells) > 1 and len(cells[0]) == 3 and all(_is_triple(row) for row in cells):
        return [[_of_triple(row)] for row in cells]
    labelled = _labelled_records(cells)
    if labelled is not None:
        return [[_of_fields(fields)] for fields in labelled]
    return [[_of_cell(value, size_is_enough) for value in row] for row in cells]


def _of_cell(value: object, size_is_enough: bool) -> ModelCell:
    code = error_code(value)
    if code is not None:
        return CellError("model", code)
    try:
        if is_blank(value):
            raise WrongTypeError("model", "it is blank", 'Write a name such as "llama-3.1-70b".')
        if isinstance(value, str):
            return catalog.model(value).spec
        params_b = number("params_b", value)
        if size_is_enough:
            return ModelSpec(name=f"{params_b:g}B", hidden_size=0, layers=(), stated_parameters=round(params_b * 10**9))
        raise WrongTypeError(
            "model",
            f"{quoted(value)} is a number of parameters, which says nothing of the KV cache",
            "Write a name, or {billions of parameters, layers, hidden dimension}.",
        )
    except PlannerError as error:
        return error


def _is_triple(values: list[object]) -> bool:
    if len(values) != 3 or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        return False
    _, layers, hidden = values
    return (
        layers == layers // 1 <= _MOST_LAYERS and hidden >= _LEAST_HIDDEN_SIZE and hidden % _HIDDEN_SIZE_STEP == 0
    )


def _of_triple(values: list[object]) -> ModelCell:
    return _of_fields(dict(zip(("params_b", "num_hidden_layers", "hidden_size"), values)))


def _of_fields(fields: dict[str, object]) -> ModelCell:
    try:
        for label, value in fields.items():
            if label not in _LABELS:
                raise UnsupportedModelError(label, "this label is not understood", "Use the names of config.json.")
            code = error_code(value)
            if code is not None:
                raise CellError(label, code)
        return spec_from_config({"model_type": "llama"} | fields, name=str(fields.get("name", "custom model")))
    except PlannerError as error:
        return error


def _labelled_records(cells: Grid) -> list[dict[str, object]] | None:
    """The labelled models in `cells`, each as field → value; None if the range is not labelled."""
    rows, columns = len(cells), len(cells[0])
    if not _is_label(cells[0][0]):
        return None
    if columns == 2 and not _is_label(cells[0][1]):
        return [_record(cells)]
    if rows == 1:
        return [_record([cells[0][i : i + 2] for i in range(0, columns - 1, 2)])] if columns % 2 == 0 else None
    return [_record([list(pair) for pair in zip(cells[0], row)]) for row in cells[1:]]


def _record(pairs: Grid) -> dict[str, object]:
    return {_label(label): value for label, value in pairs if not is_blank(label) and not is_blank(value)}


def _is_label(value: object) -> bool:
    return isinstance(value, str) and _label(value) in _LABELS


def _label(value: object) -> str:
    label = str(value).strip().lower().replace(" ", "_")
    return _SHORT_LABELS.get(label, label)
