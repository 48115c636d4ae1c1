"""The Excel cell functions: they pass cell values to `core.cells` and return its results.

Loaded by xlwings in Excel on Windows, by xlwings Lite and xlwings Server elsewhere, and importable as plain Python.
Every argument may be a range: results spill, element by element. Functions return errors as text ("#NUM!"), which each
host shows as that Excel error; `VRAM_CHECK` explains them.

Excel waits while this file is imported, so `core.cells` is imported by the first call.
"""

import xlwings as xw

# Argument → description in Excel's function wizard, at most 255 characters. "FUNCTION.argument" is for one function.
ARGUMENTS = {
    "model": 'Model name ("llama-3.1-70b"), {billions of parameters, layers, hidden dimension}, '
    "or a labelled range of config.json fields.",
    "name": 'Model name ("llama-3.1-70b"), or any other description of a model.',
    "VRAM_GPU.name": 'GPU name ("h100-sxm", "A100 80GB"), as in the GPUs sheet or as the driver reports it.',
    "VRAM_PRECISION.name": 'Name of the number format ("fp16", "awq", "q4_k_m"), as in the Precisions sheet.',
    "context": "Context in tokens per sequence, for example 32768.",
    "users": "Number of concurrent users (sequences), for example 10; 1 if omitted.",
    "precision": (
        'Precision of the weights: a name ("fp16", "awq"), or bytes per parameter (2, 1, 0.5); if omitted, "shipped": '
        "the format in which the model is published."
    ),
    "kv_precision": (
        'Precision of the KV cache: a name ("fp16", "fp8") or bytes per value (2, 1); if omitted, "shipped": as the '
        "checkpoint states, else fp16."
    ),
    "overhead": "Overhead as a fraction of weights and KV cache, for example 0.2; 0.1 (10 %) if omitted.",
    "gpu": 'GPU name ("h100-sxm", "A100 80GB"), a card\'s number (4090), or a size in GB that some GPU has (80).',
    "gpus": "Number of GPUs, for example 8.",
    "prompt_tokens": "Tokens of one prompt, for example 2000.",
    "output_tokens": "Tokens of one answer, for example 500.",
    "speed": "Tokens per second that each user gets at least, at the low end of the range, for example 20.",
    **dict.fromkeys(
        ("VRAM_SPEED.gpu", "VRAM_USERS_AT_SPEED.gpu"),
        'GPU name ("h100-sxm", "A100 80GB") or a card\'s number (4090); a size in GB has no bandwidth for a speed.',
    ),
    "result": (
        'What to return: "per_user" (tokens per second of each user; if omitted), "low" or "high" (its range), "total" '
        '(of all users), "first_token" (seconds), "users_at_once", "limited_by" or "layout".'
    ),
    "method": 'How to fine-tune: "full", "lora", or "qlora" (frozen weights in NF4).',
    "sequence": "Tokens of one training sequence, for example 4096; 2048 if omitted.",
    "batch": "Sequences in one step of one GPU, for example 4; 1 if omitted.",
    "rank": "Rank of the adapters of LoRA and QLoRA, for example 16; 64 if omitted.",
    "zero": "Stage of ZeRO over the GPUs: 0, 1, 2 or 3; 3, as FSDP, if omitted.",
    "VRAM_TRAIN.gpus": "Number of GPUs that share the work by data parallelism, for example 8; 1 if omitted.",
    "VRAM_TRAIN.result": (
        'What to return: "total" (GB on each GPU; if omitted), one part of it ("weights", "gradients", "optimizer", '
        '"gathered", "activations", "step", "context"), "all_gpus" (GB on all) or "trainable" (parameters).'
    ),
    **dict.fromkeys(
        [f"VRAM_{name}.overhead" for name in ("GPUS", "MAX_USERS", "MAX_CONTEXT", "PLAN", "COST")],
        "Overhead as a fraction of weights and KV cache, for example 0.1; if omitted, the memory that vLLM reserves.",
    ),
    "unit": (
        'Unit of the result: "B", "KB", "MB", "GB", "TB" (powers of 1000), "KiB", "MiB", "GiB" or "TiB" '
        "(powers of 1024); GB if omitted."
    ),
    "field": 'The field to return, for example "source"; all fields with labels if omitted.',
    "VRAM_GPU.field": 'The field to return, for example "memory_gb" or "price"; all fields with labels if omitted.',
    "kind": 'What to list: "models", "gpus" or "precisions".',
    "search": 'Words that a name, title or maker contains, for example "llama" or "fp8"; every name if omitted.',
    "min_speed": (
        "Tokens per second that each user gets at least, at the low end of the range, for example 20; 0 for any speed, "
        "10 if omitted."
    ),
    "VRAM_PLAN.gpu": 'GPU name ("h100-sxm"), a card\'s number (4090), or a range of them; every GPU if omitted.',
    "VRAM_COST.gpu": 'GPU name ("h100-sxm", "A100 80GB") or a card\'s number (4090).',
    "VRAM_CHECK.result": 'What the function is to return, for example "per_user", "per_month" or "trainable".',
    "VRAM_COST.result": (
        'What to return: "per_month" (US dollars; if omitted), "net_present_cost", "way" (buy or rent), '
        '"own_per_month", "rent_per_month", "purchase", "order" (GPUs), "per_user_month", "per_million_tokens", '
        '"break_even_month" or "layout".'
    ),
}


def argument_text(function_name, argument):
    """Return the description of an argument of a cell function."""
    return ARGUMENTS.get(f"{function_name}.{argument}") or ARGUMENTS[argument]


# Every cell function, in the order of this file; add-ins and tests use this list.
FUNCTIONS: list = []


def cell_function(function):
    """Declare a cell function: xlwings passes arguments as rows of cells, and error cells as text."""
    FUNCTIONS.append(function)
    code = function.__code__
    for name in code.co_varnames[: code.co_argcount]:
        function = xw.arg(name, ndim=2, err_to_str=True, doc=argument_text(function.__name__, name))(function)
    return xw.func(function, category="VRAM")


@cell_function
def VRAM_WEIGHTS(model, precision=None, unit=None):
    """GPU memory of a model's weights. For the model, billions of parameters are enough: =VRAM_WEIGHTS(70) is 140 GB."""  # noqa: E501  no line break in Excel
    from core.cells import memory

    return memory.weights(model, precision, unit)


@cell_function
def VRAM_KV(model, context, users=None, kv_precision=None, unit=None):
    """GPU memory of the KV cache of all users, each at full context. Example: =VRAM_KV("llama-3.1-70b", 32768, 10)"""
    from core.cells import memory

    return memory.kv(model, context, users, kv_precision, unit)


@cell_function
def VRAM_KV_PER_TOKEN(model, kv_precision=None, unit=None):
    """KV cache memory for each further token of a long sequence. =VRAM_KV_PER_TOKEN("llama-3.1-70b",,"B") is 327680."""
    from core.cells import memory

    return memory.kv_per_token(model, kv_precision, unit)


@cell_function
def VRAM_TOTAL(model, context, users=None, precision=None, kv_precision=None, overhead=None, unit=None):
    """GPU memory to serve a model: weights, KV cache and overhead. Example: =VRAM_TOTAL("llama-3.1-70b", 32768, 10)"""
    from core.cells import memory

    return memory.total(model, context, users, precision, kv_precision, overhead, unit)


@cell_function
def VRAM_BREAKDOWN(model, context, users=None, precision=None, kv_precision=None, overhead=None, unit=None):
    """Weights, KV cache, overhead and total with labels, one column per scenario. Same arguments as VRAM_TOTAL."""
    from core.cells import memory

    return memory.breakdown(model, context, users, precision, kv_precision, overhead, unit)


@cell_function
def VRAM_CHECK(
    model, context=None, users=None, precision=None, kv_precision=None, overhead=None, unit=None, gpu=None, gpus=None,
    prompt_tokens=None, output_tokens=None, speed=None, result=None, min_speed=None, method=None, sequence=None,
    batch=None, rank=None, zero=None, field=None, kind=None, search=None,
):  # fmt: skip
    """OK, "OK, but ..." with what is doubtful, or the error and what to write; for the arguments of every function."""
    from core.cells import check

    return check.check(
        model, context, users, precision, kv_precision, overhead, unit, gpu, gpus, prompt_tokens, output_tokens, speed,
        result, min_speed, method, sequence, batch, rank, zero, field, kind, search,
    )  # fmt: skip


@cell_function
def VRAM_GPUS(model, context, users, gpu, precision=None, kv_precision=None, overhead=None):
    """Smallest number of GPUs that serves the users: whole replicas, each split as the model and the node allow."""
    from core.cells import capacity

    return capacity.gpus(model, context, users, gpu, precision, kv_precision, overhead)


@cell_function
def VRAM_MAX_USERS(model, context, gpu, gpus, precision=None, kv_precision=None, overhead=None):
    """Largest number of concurrent users that the GPUs can serve; 0 if the model does not fit."""
    from core.cells import capacity

    return capacity.users(model, context, gpu, gpus, precision, kv_precision, overhead)


@cell_function
def VRAM_MAX_CONTEXT(model, users, gpu, gpus, precision=None, kv_precision=None, overhead=None):
    """Longest context in tokens that the GPUs can serve to all users, up to the model's limit; 0 if it does not fit."""
    from core.cells import capacity

    return capacity.context(model, users, gpu, gpus, precision, kv_precision, overhead)


@cell_function
def VRAM_SPEED(model, prompt_tokens, output_tokens, users, gpu, gpus, precision=None, kv_precision=None, result=None):
    """Tokens per second of each user, in the fastest layout of these GPUs that holds all users; see "result"."""
    from core.cells import speed as cells

    return cells.speed(model, prompt_tokens, output_tokens, users, gpu, gpus, precision, kv_precision, result)


@cell_function
def VRAM_USERS_AT_SPEED(model, prompt_tokens, output_tokens, speed, gpu, gpus, precision=None, kv_precision=None):
    """Most concurrent users who each get that speed, at the low end of its range; 0 if not even one user does."""
    from core.cells import speed as cells

    return cells.users_at_speed(model, prompt_tokens, output_tokens, speed, gpu, gpus, precision, kv_precision)


@cell_function
def VRAM_PLAN(model, context, users, gpu=None, precision=None, kv_precision=None, overhead=None, min_speed=None):
    """The ways to serve the users, the cheapest first: GPU, layout, speed and costs. =VRAM_PLAN("qwen3-32b",8192,50)"""
    from core.cells import plans

    return plans.plan(model, context, users, gpu, precision, kv_precision, overhead, min_speed)


@cell_function
def VRAM_COST(
    model, context, users, gpu, precision=None, kv_precision=None, overhead=None, min_speed=None, result=None
):  # fmt: skip
    """Costs of the best way on that GPU, at indicative prices; see "result". =VRAM_COST("qwen3-32b",8192,50,"h100")"""
    from core.cells import plans

    return plans.cost(model, context, users, gpu, precision, kv_precision, overhead, min_speed, result)


@cell_function
def VRAM_LIST(kind, search=None):
    """Names that the other functions take: models, GPUs or precisions. Example: =VRAM_LIST("models", "llama 70b")"""
    from core.cells import lists

    return lists.names_of(kind, search)


@cell_function
def VRAM_TRAIN(model, method, sequence=None, batch=None, rank=None, zero=None, gpus=None, result=None):
    """GPU memory to fine-tune a model, GB on each GPU, with AdamW and checkpoints of each layer; see "result"."""
    from core.cells import training

    return training.train(model, method, sequence, batch, rank, zero, gpus, result)


@cell_function
def VRAM_MODEL(name, field=None):
    """Data of a model: one field ("parameters", "num_hidden_layers", "source", ...), or all fields with labels."""
    from core.cells import cards

    return cards.model(name, field)


@cell_function
def VRAM_GPU(name, field=None):
    """Data of a GPU: one field ("memory_gb", "price", "source", ...), or all fields with labels."""
    from core.cells import cards

    return cards.gpu(name, field)


@cell_function
def VRAM_PRECISION(name, field=None):
    """Data of a number format: one field ("bits_per_value", "source", ...), or all fields with labels."""
    from core.cells import cards

    return cards.precision(name, field)
