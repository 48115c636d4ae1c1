"""Excel cell functions: cell values in, `core`, cell values out. No maths here.

Loaded by xlwings in Excel on Windows, by xlwings Lite and xlwings Server elsewhere, and importable as plain Python.
Every argument may be a range: results spill, element by element. A failure is the text of an Excel error ("#NUM!"),
which each host shows as that error; `VRAM_CHECK` says why.
"""

import xlwings as xw

from core import catalog
from core.card import card_field
from core.cells.broadcast import broadcast, parsed
from core.cells.models import model_cells
from core.cells.values import CellError, error_code, grid, is_blank
from core.checks import LIMITS, number, text
from core.fleet import choice_of_gb, choice_of_gpu, gpus_to_deploy, max_context, max_users
from core.gpu import gpu_card
from core.kv_cache import kv_profile
from core.model_card import model_card
from core.overhead import DEFAULT_OVERHEAD_FRACTION
from core.precision_card import precision_card
from core.serving import service_of
from core.sizing import estimate
from core.units import DEFAULT_UNIT, unit_bytes
from core.weights import weights_bytes

# What each argument is, for Excel's function wizard; at most 255 characters each. Where one function means something
# else by it, its own text stands under "FUNCTION.argument".
ARGUMENTS = {
    "model": 'A model\'s name ("llama-3.1-70b"), {billions of parameters, layers, hidden dimension}, '
    "or a labelled range of config.json fields.",
    "name": 'A model\'s name ("llama-3.1-70b"), or any other description of a model.',
    "VRAM_GPU.name": 'A GPU\'s name ("h100-sxm"), as the GPUs sheet, its maker or its driver writes it.',
    "VRAM_PRECISION.name": 'A number format\'s name ("fp16", "awq", "q4_k_m"), as the Precisions sheet has it.',
    "context": "Tokens per sequence, for example 32768.",
    "users": "Concurrent sequences; 1 if omitted.",
    "precision": 'Of the weights: a name ("fp16", "fp8", "int4") or bytes per parameter (2, 1, 0.5); fp16 if omitted.',
    "kv_precision": "Of the cached values: a name or bytes per value; fp16 if omitted.",
    "overhead": "Fraction of weights and KV cache, for example 0.1; 10 % if omitted.",
    "gpu": 'A GPU\'s name ("h100-sxm", "A100 80GB"), or the GB of one GPU\'s memory, for example 80.',
    "gpus": "How many GPUs there are, for example 8.",
    **dict.fromkeys(
        ("VRAM_GPUS.overhead", "VRAM_MAX_USERS.overhead", "VRAM_MAX_CONTEXT.overhead"),
        "Fraction of weights and KV cache, for example 0.1; if omitted, what vLLM sets aside.",
    ),
    "unit": 'Unit of the result: "GB" (10^9 bytes, if omitted), "GiB" (2^30 bytes), "MB", "MiB", "TB", "B" ...',
    "field": 'One field of the card, for example "parameters"; the whole card if omitted.',
}


def argument_text(function_name, argument):
    """What an argument of a cell function is."""
    return ARGUMENTS.get(f"{function_name}.{argument}") or ARGUMENTS[argument]


# Every cell function, in the order of this file; add-ins and documentation are made from it.
FUNCTIONS = []


def cell_function(function):
    """Declares a cell function: ranges arrive as grids with orientation, error cells as their texts."""
    FUNCTIONS.append(function)
    code = function.__code__
    for name in code.co_varnames[: code.co_argcount]:
        function = xw.arg(name, ndim=2, err_to_str=True, doc=argument_text(function.__name__, name))(function)
    return xw.func(function, category="VRAM")


@cell_function
def VRAM_WEIGHTS(model, precision=None, unit=None):
    """GPU memory of a model's weights. A number for the model is billions of parameters: =VRAM_WEIGHTS(70) is 140 GB."""

    def size(spec, precision, unit):
        return weights_bytes(spec, precision) / unit

    models = model_cells(grid(model), size_is_enough=True)
    return _spilled(broadcast(size, [models, _precisions("precision", precision), _units(unit)]))


@cell_function
def VRAM_KV(model, context, users=None, kv_precision=None, unit=None):
    """GPU memory of the KV cache of all users, each with its whole context: =VRAM_KV("llama-3.1-70b", 32768, 10)."""

    def size(spec, context, users, kv_precision, unit):
        return kv_profile(spec).bytes_of_sequences(users, context, kv_precision) / unit

    arguments = [_models(model), *_workload(context, users), _precisions("kv_precision", kv_precision), _units(unit)]
    return _spilled(broadcast(size, arguments))


@cell_function
def VRAM_KV_PER_TOKEN(model, kv_precision=None, unit=None):
    """GPU memory by which one long sequence grows with each token: =VRAM_KV_PER_TOKEN("llama-3.1-70b",,"B") is 327680."""

    def size(spec, kv_precision, unit):
        return kv_profile(spec).bytes_per_token(kv_precision) / unit

    return _spilled(broadcast(size, [_models(model), _precisions("kv_precision", kv_precision), _units(unit)]))


@cell_function
def VRAM_TOTAL(model, context, users=None, precision=None, kv_precision=None, overhead=None, unit=None):
    """GPU memory to serve a model: weights, KV cache and overhead. =VRAM_TOTAL("llama-3.1-70b", 32768, 10)"""
    return _spilled(
        broadcast(
            lambda *scenario: _estimate(*scenario[:-1]).total_bytes / scenario[-1],
            [*_scenario(model, context, users, precision, kv_precision, overhead), _units(unit)],
        )
    )


@cell_function
def VRAM_BREAKDOWN(model, context, users=None, precision=None, kv_precision=None, overhead=None, unit=None):
    """Weights, KV cache, overhead and total, labelled, one column for each scenario; the arguments of VRAM_TOTAL."""

    def sizes(*scenario):
        result, unit = _estimate(*scenario[:-1]), scenario[-1]
        return [size / unit for size in (*(item.size_bytes for item in result.line_items), result.total_bytes)]

    arguments = [*_scenario(model, context, users, precision, kv_precision, overhead), _units(unit)]
    return _labelled(["weights", "KV cache", "overhead", "total"], broadcast(sizes, arguments))


@cell_function
def VRAM_CHECK(model, context, users=None, precision=None, kv_precision=None, overhead=None, unit=None):
    """OK, or one sentence: what is wrong with the arguments of VRAM_TOTAL and what to write instead."""

    def verdict(*scenario):
        _estimate(*scenario[:-1])
        return "OK"

    arguments = [*_scenario(model, context, users, precision, kv_precision, overhead), _units(unit)]
    return _spilled(broadcast(verdict, arguments, failed=str))


@cell_function
def VRAM_GPUS(model, context, users, gpu, precision=None, kv_precision=None, overhead=None):
    """The fewest GPUs that can be deployed for the users: whole replicas, each split as the model and a node allow."""

    def count(context, users, gpu, service):
        return float(gpus_to_deploy(service, gpu, users, context))

    workload = [*_workload(context, users), _gpu_choices(gpu)]
    return _spilled(broadcast(count, [*workload, _services(model, precision, kv_precision, overhead)]))


@cell_function
def VRAM_MAX_USERS(model, context, gpu, gpus, precision=None, kv_precision=None, overhead=None):
    """The most concurrent users that so many GPUs can be deployed for; 0 if not even the model fits."""

    def count(context, gpu, gpus, service):
        return float(max_users(service, gpu, gpus, context))

    workload = [_numbers("context", context), _gpu_choices(gpu), _numbers("gpus", gpus)]
    return _spilled(broadcast(count, [*workload, _services(model, precision, kv_precision, overhead)]))


@cell_function
def VRAM_MAX_CONTEXT(model, users, gpu, gpus, precision=None, kv_precision=None, overhead=None):
    """The most tokens that each user can have on so many GPUs, at most the model's own limit; 0 if it does not fit."""

    def tokens(users, gpu, gpus, service):
        return float(max_context(service, gpu, gpus, users, LIMITS["context"].most))

    workload = [_numbers("users", users, 1), _gpu_choices(gpu), _numbers("gpus", gpus)]
    return _spilled(broadcast(tokens, [*workload, _services(model, precision, kv_precision, overhead)]))


@cell_function
def VRAM_MODEL(name, field=None):
    """What is known of a model: one field of its card ("parameters", "source" ...), or the whole card, labelled."""
    return _cards(_models(name), model_card, field)


@cell_function
def VRAM_GPU(name, field=None):
    """What is known of a GPU: one field of its card ("memory_gb", "tdp_w" ...), or the whole card, labelled."""
    return _cards(parsed(grid(name), _gpu), gpu_card, field)


@cell_function
def VRAM_PRECISION(name, field=None):
    """What is known of a number format: one field of its card ("bits_per_value" ...), or the whole card, labelled."""
    return _cards(parsed(grid(name), _precision_row), precision_card, field)


def _cards(things, card_of, field):
    """One field of the card of each thing, or with no field the whole cards side by side."""
    if not all(is_blank(cell) for row in grid(field) for cell in row):
        return _spilled(
            broadcast(lambda thing, name: card_field(card_of(thing), name), [things, parsed(grid(field), _field)])
        )
    cards = broadcast(card_of, [things])
    fullest_first = sorted((card for row in cards for card in row if isinstance(card, dict)), key=len, reverse=True)
    labels = list(dict.fromkeys(label for card in fullest_first for label in card)) or ["name"]
    columns = [
        [[card.get(label, "") for label in labels] if isinstance(card, dict) else card for card in row] for row in cards
    ]
    return _labelled(labels, columns)


def _estimate(spec, context, users, precision, kv_precision, overhead):
    return estimate(
        spec, context=context, users=users, precision=precision, kv_precision=kv_precision, overhead=overhead
    )


def _scenario(model, context, users, precision, kv_precision, overhead):
    return [
        _models(model),
        *_workload(context, users),
        _precisions("precision", precision),
        _precisions("kv_precision", kv_precision),
        _numbers("overhead", overhead, DEFAULT_OVERHEAD_FRACTION),
    ]


def _services(model, precision, kv_precision, overhead):
    """Everything that does not change with the workload; an overhead left blank reckons with an engine."""
    arguments = [
        _models(model),
        _precisions("precision", precision),
        _precisions("kv_precision", kv_precision),
        parsed(grid(overhead), _overhead_if_any),
    ]
    return broadcast(service_of, arguments, failed=lambda error: error)


def _overhead_if_any(cell):
    fraction = _given("overhead", cell, None)
    return None if fraction is None else number("overhead", fraction)


def _gpu_choices(cells):
    return parsed(grid(cells), _gpu_choice)


def _gpu_choice(cell):
    given = _given("gpu", cell, None)
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return choice_of_gb(number("gpu_memory_gb", given))
    return choice_of_gpu(catalog.gpu(given))


def _models(cells):
    return model_cells(grid(cells), size_is_enough=False)


def _workload(context, users):
    return [_numbers("context", context), _numbers("users", users, 1)]


def _numbers(field, cells, default=None):
    return parsed(grid(cells), lambda cell: number(field, _given(field, cell, default)))


def _precisions(field, cells):
    return parsed(grid(cells), lambda cell: catalog.precision(field, _given(field, cell, "fp16")))


def _units(cells):
    return parsed(grid(cells), lambda cell: unit_bytes(_given("unit", cell, DEFAULT_UNIT)))


def _gpu(cell):
    return catalog.gpu(_given("gpu", cell, None))


def _precision_row(cell):
    return catalog.precision_named(_given("precision", cell, None))


def _field(cell):
    return text("field", _given("field", cell, None))


def _given(field, cell, default):
    """What stands in the cell, or the default for a blank one; an error cell goes through."""
    code = error_code(cell)
    if code is not None:
        raise CellError(field, code)
    return default if is_blank(cell) else cell


def _spilled(rows):
    return rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else rows


def _labelled(labels, results):
    """One column of labels, and beside it a column for each result; a result that failed is that error all down."""
    columns = [cell for row in results for cell in row]
    if len(columns) == 1 and not isinstance(columns[0], list):
        return columns[0]
    return [
        [label, *(column[i] if isinstance(column, list) else column for column in columns)]
        for i, label in enumerate(labels)
    ]
