"""Read the `model` argument of the cell functions, which describes one or more models.

* a catalog name: "llama-3.1-70b";
* a number: billions of parameters, if only the weights are needed;
* three numbers in a row or a column, {params_b, layers, hidden}, as in the article;
* a labelled range of config.json fields: a column of labels and a column of values, a row of labels above one row per
  model, or labels and values alternating in one row;
* an array of names, numbers or rows of three numbers: one model each.
"""

from __future__ import annotations

from typing import NoReturn

from core import catalog
from core.cells.broadcast import Array, parse_cells
from core.cells.values import CellError, Grid, error_code, is_blank
from core.checks import LIMITS, number
from core.errors import PlannerError, UnsupportedModelError, WrongTypeError, quoted
from core.model.spec import ModelSpec
from core.readers.architectures.known import known_fields
from core.readers.hf_config import spec_from_config
from core.texts import plain_letters, printable

# These tell {params_b, layers, hidden} from three sizes in billions ({8,70,405}): the hidden dimension has this minimum
# and is a multiple of the step (the article's 8196 is one of 4), and the number of layers has this maximum.
_LEAST_HIDDEN_SIZE, _HIDDEN_SIZE_STEP, _MOST_LAYERS = 512, 4, 1000

_SHORT_LABELS = {"layers": "num_hidden_layers", "hidden": "hidden_size", "parameters_b": "params_b"}
_WORKLOAD_FIELDS = {
    "context", "users", "overhead", "gpu_memory_gb", "gpu_memory_gib", "gpus", "tp", "pp", "average_tokens",
    "prompt_tokens", "output_tokens", "replicas", "tokens_per_second", "min_speed", "people", "active",
    "requests_per_hour",
}  # fmt: skip
_LABELS = frozenset(LIMITS) - _WORKLOAD_FIELDS | {"name", "model_type"} | known_fields()

_NULL = "null"  # as in config.json: the model does not have it; a blank cell means the default of the model_type

ModelCell = ModelSpec | PlannerError


def model_cells(cells: Grid, *, allow_size: bool) -> Array:
    """Return the models that `cells` describe, with errors in place of invalid descriptions.

    Args:
        cells: the argument.
        allow_size: whether a number, billions of parameters, describes a model (enough for its weights).
    """
    flat = [value for row in cells for value in row]
    if 1 in (len(cells), len(cells[0])) and _is_triple(flat, allow_size=allow_size):
        return Array([_model_of_triple(flat)], 1)
    if len(cells) > 1 and len(cells[0]) == 3 and all(_is_triple(row, allow_size=allow_size) for row in cells):
        return Array([_model_of_triple(row) for row in cells], 1)
    labelled_models = _split_by_model(cells)
    if labelled_models is not None:
        return Array([_model_of_labels(pairs) for pairs in labelled_models], 1)
    return parse_cells(cells, size_or_model_of_cell if allow_size else model_of_cell)


def model_of_cell(value: object) -> ModelSpec:
    """Return the model whose name is in a cell.

    Raises:
        PlannerError: the cell holds no known name.
    """
    if not isinstance(value, str):
        _check_cell(value)
        _refuse_number(value)
    try:
        return catalog.named_model(value).spec
    except PlannerError:
        _check_cell(value)  # blanks and error texts have their own errors
        raise


def size_or_model_of_cell(value: object) -> ModelSpec:
    """Return the model whose name or number of parameters, in billions, is in a cell."""
    if isinstance(value, str):
        return model_of_cell(value)
    _check_cell(value)
    return _model_of_size(value)


def _check_cell(value: object) -> None:
    code = error_code(value)
    if code is not None:
        raise CellError("model", code)
    if is_blank(value):
        raise WrongTypeError("model", "it is blank", 'Write a name such as "llama-3.1-70b".')


def _model_of_size(value: object) -> ModelSpec:
    params_b = number("params_b", value)
    return ModelSpec(name=f"{params_b:g}B", hidden_size=0, layers=(), stated_parameters=round(params_b * 10**9))


def _refuse_number(value: object) -> NoReturn:
    """Raise the error for a number in place of a name; an invalid number keeps its class of error."""
    remedy = "Write a name, or {billions of parameters, layers, hidden dimension}."
    try:
        number("params_b", value)
    except PlannerError as error:
        raise type(error)("model", error.problem, remedy) from error
    raise WrongTypeError(
        "model", f"{quoted(value)} is only a number of parameters, not enough for the KV cache", remedy
    )


def _is_triple(values: list[object], *, allow_size: bool) -> bool:
    """Return whether three cells are meant as {params_b, layers, hidden}, valid or not, rather than as three models.

    Args:
        values: the cells.
        allow_size: whether the cells may be three sizes in billions; then the layers must also be plausible.
    """
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(values) != 3 or len(numbers) != 3:
        return False
    _, layers, hidden = numbers
    return (
        abs(hidden) >= _LEAST_HIDDEN_SIZE
        and hidden % _HIDDEN_SIZE_STEP == 0
        and (not allow_size or layers == layers // 1 <= _MOST_LAYERS)
    )


def _model_of_triple(values: list[object]) -> ModelCell:
    return _model_of_labels([list(pair) for pair in zip(("params_b", "num_hidden_layers", "hidden_size"), values)])


def _model_of_labels(pairs: Grid) -> ModelCell:
    try:
        fields = _fields(pairs)
        for label, value in fields.items():
            code = error_code(value)
            if code is not None:
                raise CellError(label, code)
        return spec_from_config({"model_type": "llama"} | fields, name=_name_text(fields.get("name", "custom model")))
    except PlannerError as error:
        return error


def _split_by_model(cells: Grid) -> list[Grid] | None:
    """Return the label and value pairs of each model in a labelled range; None if the range is not labelled."""
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
            raise UnsupportedModelError(printable(label), "this label is not known", "Use a field name of config.json.")
        if label in fields:
            raise UnsupportedModelError(label, "it is given twice", "Remove one of the two.")
        fields[label] = None if value == _NULL and label != "name" else value
    return fields


def _name_text(value: object) -> str:
    return printable(value) if isinstance(value, str) else quoted(value)


def _is_label(value: object) -> bool:
    return isinstance(value, str) and _label(value) in _LABELS


def _label(value: object) -> str:
    label = plain_letters(value if isinstance(value, str) else quoted(value)).strip().lower().replace(" ", "_")
    return _SHORT_LABELS.get(label, label)
