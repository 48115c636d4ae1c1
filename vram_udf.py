"""Excel cell functions: cell values in, `core`, cell values out. No maths here.

Loaded by xlwings in Excel on Windows, by xlwings Lite and xlwings Server elsewhere, and importable as plain Python.
Every argument may be a range: results spill, element by element. A failure is the text of an Excel error ("#NUM!"),
which each host shows as that error; `VRAM_CHECK` says why.

Excel waits while this file is imported, so what computes (`core.cells`) is loaded by the first call that needs it.
"""

import xlwings as xw

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
    "precision": (
        'Of the weights: a name ("fp16", "awq"; "shipped": as published) or bytes per parameter (2, 1, 0.5); '
        "fp16 if omitted."
    ),
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
FUNCTIONS: list = []


def cell_function(function):
    """Declares a cell function: ranges arrive as grids with orientation, error cells as their texts."""
    FUNCTIONS.append(function)
    code = function.__code__
    for name in code.co_varnames[: code.co_argcount]:
        function = xw.arg(name, ndim=2, err_to_str=True, doc=argument_text(function.__name__, name))(function)
    return xw.func(function, category="VRAM")


@cell_function
def VRAM_WEIGHTS(model, precision=None, unit=None):
    """GPU memory of a model's weights. A number for the model is billions of parameters: =VRAM_WEIGHTS(70) is 140 GB."""  # noqa: E501  no line break in Excel
    from core.cells import memory

    return memory.weights(model, precision, unit)


@cell_function
def VRAM_KV(model, context, users=None, kv_precision=None, unit=None):
    """GPU memory of the KV cache of all users, each with its whole context: =VRAM_KV("llama-3.1-70b", 32768, 10)."""
    from core.cells import memory

    return memory.kv(model, context, users, kv_precision, unit)


@cell_function
def VRAM_KV_PER_TOKEN(model, kv_precision=None, unit=None):
    """GPU memory by which one long sequence grows with each token: =VRAM_KV_PER_TOKEN("llama-3.1-70b",,"B") is 327680."""  # noqa: E501  no line break in Excel
    from core.cells import memory

    return memory.kv_per_token(model, kv_precision, unit)


@cell_function
def VRAM_TOTAL(model, context, users=None, precision=None, kv_precision=None, overhead=None, unit=None):
    """GPU memory to serve a model: weights, KV cache and overhead. =VRAM_TOTAL("llama-3.1-70b", 32768, 10)"""
    from core.cells import memory

    return memory.total(model, context, users, precision, kv_precision, overhead, unit)


@cell_function
def VRAM_BREAKDOWN(model, context, users=None, precision=None, kv_precision=None, overhead=None, unit=None):
    """Weights, KV cache, overhead and total, labelled, one column for each scenario; the arguments of VRAM_TOTAL."""
    from core.cells import memory

    return memory.breakdown(model, context, users, precision, kv_precision, overhead, unit)


@cell_function
def VRAM_CHECK(model, context, users=None, precision=None, kv_precision=None, overhead=None, unit=None):
    """OK, or one sentence: what is wrong with the arguments of VRAM_TOTAL and what to write instead."""
    from core.cells import memory

    return memory.check(model, context, users, precision, kv_precision, overhead, unit)


@cell_function
def VRAM_GPUS(model, context, users, gpu, precision=None, kv_precision=None, overhead=None):
    """The fewest GPUs that can be deployed for the users: whole replicas, each split as the model and a node allow."""
    from core.cells import capacity

    return capacity.gpus(model, context, users, gpu, precision, kv_precision, overhead)


@cell_function
def VRAM_MAX_USERS(model, context, gpu, gpus, precision=None, kv_precision=None, overhead=None):
    """The most concurrent users that so many GPUs can be deployed for; 0 if not even the model fits."""
    from core.cells import capacity

    return capacity.users(model, context, gpu, gpus, precision, kv_precision, overhead)


@cell_function
def VRAM_MAX_CONTEXT(model, users, gpu, gpus, precision=None, kv_precision=None, overhead=None):
    """The most tokens that each user can have on so many GPUs, at most the model's own limit; 0 if it does not fit."""
    from core.cells import capacity

    return capacity.context(model, users, gpu, gpus, precision, kv_precision, overhead)


@cell_function
def VRAM_MODEL(name, field=None):
    """What is known of a model: one field of its card ("parameters", "source" ...), or the whole card, labelled."""
    from core.cells import cards

    return cards.model(name, field)


@cell_function
def VRAM_GPU(name, field=None):
    """What is known of a GPU: one field of its card ("memory_gb", "tdp_w" ...), or the whole card, labelled."""
    from core.cells import cards

    return cards.gpu(name, field)


@cell_function
def VRAM_PRECISION(name, field=None):
    """What is known of a number format: one field of its card ("bits_per_value" ...), or the whole card, labelled."""
    from core.cells import cards

    return cards.precision(name, field)
