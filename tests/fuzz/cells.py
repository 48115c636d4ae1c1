"""Hostile arguments through every cell function: a number, a text, a rectangle of them or an Excel error, nothing else.

    python -m tests.fuzz.cells --calls 1000000 --seed 1

Most calls go to the plain functions, a share through xlwings' own conversion as Excel on Windows makes it. What is
tried is drawn from `random.Random(seed)`, so that a failure comes again with its seed and its number.
"""

from __future__ import annotations

import argparse
import datetime
import decimal
import math
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

from tests.hosts.com import pywin32_stand_in

RETURNABLE_ERRORS = {"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"}
LONGEST_CELL = 32_767  # support.microsoft.com, "Excel specifications and limits"
MOST_SECONDS = 60  # that one call may take before it counts as hanging, whatever else the machine does
PIPELINE_SHARE = 0.1

NUMBERS = (
    0, 1, 2, 3, 4, 8, 16, 100, 1000, 8192, 32768, 10**5, 10**8, 10**8 + 1, -1, -8, 0.0, -0.0, 0.5, 1.5, 0.1, 1 / 3,
    80.0,
    8196.0, 1e-6, 1e-9, 5e-324, 1e-308, 1e15, 1e16, 1e21, 1.7976931348623157e308, -1.7976931348623157e308, math.nan,
    math.inf, -math.inf, 2**31 - 1, 2**31, 2**32, 2**53, 2**53 + 1, 2**63, 2**64, 10**30, 10**400, -(10**400), 10**5000,
    True, False,
)  # fmt: skip
# As COM hands them over: 0x800A07D0 and on, and integers just beside that range.
COM_ERRORS = (*range(-2146826290, -2146826180, 7), -2146826246, -2146826243, -2146826238, -2147352572)
ERRORS = (
    *sorted(RETURNABLE_ERRORS), "#GETTING_DATA", "#SPILL!", "#CALC!", "#CONNECT!", "#BLOCKED!", "#UNKNOWN!", "#FIELD!",
    "#PYTHON!", "#BUSY!", "#EXTERNAL!", "#n/a", " #N/A", "#N/A!", "#", "#NUM",
)  # fmt: skip
DATES = (
    datetime.datetime(1899, 12, 30), datetime.datetime(1900, 2, 28), datetime.datetime(2026, 11, 26, 12, 30),
    datetime.datetime(9999, 12, 31, 23, 59, 59), datetime.datetime.min,
)  # fmt: skip
CURRENCIES = tuple(map(decimal.Decimal, ("0", "10", "32768", "-922337203685477.5808", "0.0001", "1.5")))
# What Excel never hands over, but LibreOffice, Office.js hosts and plain Python may.
FOREIGN = (
    decimal.Decimal("NaN"), decimal.Decimal("sNaN"), decimal.Decimal("Infinity"), decimal.Decimal("1E+400"),
    datetime.date(2026, 1, 1), datetime.time(1, 2), datetime.timedelta(days=1), b"bytes", 1j, {}, {"model": 1}, set(),
    object, [], [[]], [1], ["llama-3.1-70b", [8]], (), ((1, 2), (3,)),
)  # fmt: skip
TEXTS = (
    "", " ", "\t", "\u3000", "\u00a0", "\u200b", "\ufeff", "10", " 10 ", "1e3", "1,5", "1.234,5", "12 345", "1'000",
    "１２３",
    "٣٢٧٦٨", "१०", "Ⅻ", "二十", "½", "32K", "10%", "１０％", "NaN", "inf", "-1", "+1", "--1", "TRUE", "FALSE", "WAHR",
    "2026-11-26", "26.11.2026", "#", "'", '"', "\\", "\0", "a\0b", "\r\n", "\x1b[31m", "\ud800", "\udfff\ud800", "𝄞",
    "👩‍👩‍👧",
    "\u202etxt.exe", "=1+1", "=cmd|' /C calc'!A0", "@SUM(1)", "+1+1", "-2+3", "\t=1", "\r=1", "{70,80,8196}",
    "[bold]x[/]",
    "%s%n", "../../etc/passwd", "\\\\host\\share", "<!--", "&lol;", "x" * 255, "x" * 256, "x" * LONGEST_CELL,
    "é" * LONGEST_CELL, "ﷺ" * LONGEST_CELL, "e" + "\u0301" * 32_000, "e" + "\u0316\u0301" * 16_000,
    "\u0f73" * LONGEST_CELL,
    "=" * LONGEST_CELL, " " * LONGEST_CELL, "9" * LONGEST_CELL, "#N/A" * 8000,
)  # fmt: skip
MODELS = (
    "llama-3.1-70b", "LLAMA 3.1 70B", "ｌｌａｍａ－３．１－７０ｂ", "meta-llama/Llama-3.1-70B-Instruct",
    "deepseek-v3", "gemma-3-27b",
    "qwen3-next-80b-a3b", "article-llama-70b", "lama", "gpt", "mixtral-8x7b", "gpt-oss-120b", "falcon-h1-34b",
    "deepseek-v4",
)  # fmt: skip
VALID: dict[str, tuple[object, ...]] = {
    "model": MODELS,
    "name": (*MODELS, "h100", "A100 80GB", "mi300x", "fp16", "awq", "q4_k_m"),
    "context": (1, 1024, 32768.0, 10**8),
    "users": (1, 10.0, 10**8, None),
    "precision": ("fp16", "fp8", "int4", "awq", "q4_k_m", "FP8_BLOCK", 2, 0.5, 1.0, None),
    "kv_precision": ("fp16", "fp8", "q8_0", "fp8_ds_mla", 2, 1, None),
    "overhead": (0, 0.1, 1, None),
    "unit": ("GB", "gib", "ＧＢ", "B", "TiB", None),
    "gpu": ("h100", "A100 80GB", "b200", 80, 24.5, 141),
    "gpus": (1, 8, 16.0, 10**5),
    "prompt_tokens": (1, 2000, 8192.0, 10**8),
    "output_tokens": (1, 500.0, 10**8),
    "speed": (0.001, 20, 35.5, 10**6),
    "min_speed": (0, 10, 35.5, 10**6, None),
    "kind": ("models", "GPUs", "precisions", "no such", None),
    "search": ("llama 70b", "h100", "", None),
    "method": ("full", "LoRA", "qlora", "no such", None),
    "sequence": (1, 2048, 8192.0, 10**8, None),
    "batch": (1, 4.0, 10**6, None),
    "rank": (1, 64, 16.0, 10**5, None),
    "zero": (0, 3, 2.0, None),
    "result": ("per_user", "LOW", "total", "limited_by", "layout", "weights", "trainable", "no such", None),
    "field": ("parameters", "title", "memory_gb", "bits_per_value", "no such", None),
}
LABELS = (
    "params_b", "num_hidden_layers", "layers", "hidden_size", "hidden", "num_attention_heads", "num_key_value_heads",
    "head_dim", "vocab_size", "intermediate_size", "model_type", "sliding_window", "layer_types", "kv_lora_rank",
    "qk_rope_head_dim", "num_experts", "num_local_experts", "tie_word_embeddings", "max_position_embeddings", "name",
    "quantization_config", "rope_scaling", "Num Hidden Layers", "ｈｉｄｄｅｎ", "context", "x" * 9000,
)  # fmt: skip
MODEL_TYPES = "llama qwen3_moe deepseek_v3 gemma3 gpt_oss jamba mamba2 whisper bert t5 ?".split()

Draw = random.Random


def one_cell(draw: Draw) -> object:
    """What a cell may hold, and what it never should."""
    kind = draw.random()
    if kind < 0.35:
        return draw.choice(NUMBERS)
    if kind < 0.45:
        return math.ldexp(draw.uniform(-1, 1), draw.randint(-1080, 1023))
    if kind < 0.5:
        return draw.choice(COM_ERRORS)
    if kind < 0.58:
        return draw.choice(ERRORS)
    if kind < 0.62:
        return draw.choice(DATES)
    if kind < 0.66:
        return draw.choice(CURRENCIES)
    if kind < 0.72:
        return None
    if kind < 0.92:
        # The longest texts are slow to build results from, and say no more the hundredth time.
        text = draw.choice(TEXTS)
        return text if len(text) < 1000 or draw.random() < 0.05 else text[:100]
    if kind < 0.96:
        return "".join(chr(draw.choice((draw.randrange(128), draw.randrange(0x3000), draw.randrange(0x11_0000))))
                       for _ in range(draw.randint(1, 40)))  # fmt: skip
    return draw.choice(FOREIGN)


def labelled(draw: Draw) -> list[list[object]]:
    """A range of config.json fields, more or less right."""
    good = {"params_b": 70, "num_hidden_layers": 80, "hidden_size": 8192, "num_attention_heads": 64,
    "vocab_size": 128_256,
            "num_key_value_heads": 8, "intermediate_size": 28_672}  # fmt: skip
    pairs = [[label, good[label]] for label in draw.sample(list(good), draw.randint(1, len(good)))]
    for _ in range(draw.randint(0, 4)):
        label = draw.choice(LABELS) if draw.random() < 0.9 else one_cell(draw)
        value = draw.choice(MODEL_TYPES) if label == "model_type" and draw.random() < 0.9 else one_cell(draw)
        pairs.insert(draw.randint(0, len(pairs)), [label, value])
    how = draw.random()
    if how < 0.5:
        return pairs
    if how < 0.75:
        return [[label for label, _ in pairs], *([value for _, value in pairs] for _ in range(draw.randint(0, 3)))]
    return [[cell for pair in pairs for cell in pair]]


def grid_of(draw: Draw, cell: Callable[[], object]) -> list[object]:
    """A range in one of its shapes, some of which no sheet has."""
    shape = draw.random()
    if shape < 0.35:
        return [[cell() for _ in range(draw.randint(1, 5))]]
    if shape < 0.7:
        return [[cell()] for _ in range(draw.randint(1, 5))]
    width = draw.randint(1, 4)
    if shape < 0.9:
        return [[cell() for _ in range(width)] for _ in range(draw.randint(1, 4))]
    if shape < 0.97:  # ragged
        return [[cell() for _ in range(draw.randint(0, 4))] for _ in range(draw.randint(0, 4))]
    return [cell() for _ in range(draw.randint(0, 4))]


def argument(draw: Draw, name: str) -> object:
    """One argument: mostly what is expected, so that the other arguments' trouble is reached."""
    kind = draw.random()
    if kind < 0.55:
        return draw.choice(VALID[name])
    if kind < 0.75:
        return one_cell(draw)
    if name in ("model", "name") and kind < 0.85:
        if draw.random() < 0.5:
            return labelled(draw)
        triple = [
            draw.choice((70, 7, one_cell(draw))),
            draw.choice((80, one_cell(draw))),
            draw.choice((8192, 8196, -4096)),
        ]
        return [triple] * draw.randint(1, 2) if draw.random() < 0.5 else [[value] for value in triple]
    return grid_of(draw, lambda: draw.choice(VALID[name]) if draw.random() < 0.5 else one_cell(draw))


def is_cell(value: object) -> str:
    """What is wrong with a result's cell; nothing if all is well."""
    if type(value) is float:
        return "" if math.isfinite(value) else f"the number {value}"
    if type(value) is not str:
        return f"{type(value).__name__} {value!r:.100}"
    if len(value) > LONGEST_CELL:
        return f"a text of {len(value)} characters, more than a cell holds"
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"half a surrogate pair in {value!r:.100}"
    return ""


def fault(result: object) -> str:
    """What is wrong with a function's result; nothing if all is well."""
    if not isinstance(result, list):
        return is_cell(result)
    if not result or not all(isinstance(row, list) and row for row in result):
        return f"no rows of cells: {result!r:.100}"
    if len({len(row) for row in result}) != 1:
        return f"no rectangle: {[len(row) for row in result]}"
    return next((wrong for row in result for cell in row if (wrong := is_cell(cell))), "")


def marshalled_fault(variant) -> str:
    """The same of what Excel is handed."""
    if variant.type == "VT_ARRAY":
        return next((wrong for row in variant.value for cell in row if (wrong := marshalled_fault(cell))), "")
    if variant.type in ("VT_R8", "VT_BSTR"):
        return is_cell(variant.value)
    return f"{variant.type} {variant.value!r:.300}"


class HungError(Exception):
    """A call did not come back."""


def _hung(*_: object) -> None:
    raise HungError


def calls(seed: int) -> Iterator[tuple[str, list[object]]]:
    """(function, arguments), without end."""
    import inspect

    import vram_udf

    parameters = {
        function.__name__: list(inspect.signature(function).parameters.values()) for function in vram_udf.FUNCTIONS
    }
    draw = random.Random(seed)
    names = list(parameters)
    while True:
        name = draw.choice(names)
        needed = sum(parameter.default is parameter.empty for parameter in parameters[name])
        count = draw.randint(needed, len(parameters[name]))
        yield name, [argument(draw, parameter.name) for parameter in parameters[name][:count]]


def as_excel_passes(value: object) -> object:
    """An argument as it can come from a sheet; what cannot is left out by raising."""
    if isinstance(value, (list, tuple)):
        rows = [list(row) if isinstance(row, (list, tuple)) else [row] for row in value]
        return pywin32_stand_in.Range([[as_excel_passes_cell(cell) for cell in row] for row in rows])
    return as_excel_passes_cell(value)


def as_excel_passes_cell(cell: object) -> object:
    if cell is None or type(cell) in (bool, str, decimal.Decimal, datetime.datetime):
        return cell
    return float(cell)


def campaign(count: int, seed: int, pipeline_share: float = PIPELINE_SHARE) -> tuple[Counter, list[str], float]:
    """Makes `count` calls; (results by kind, what was wrong, the slowest call's seconds)."""
    import vram_udf

    kinds: Counter = Counter()
    faults: list[str] = []
    slowest = 0.0
    choose = random.Random(seed + 1)
    with_alarm = hasattr(signal, "SIGALRM")
    if with_alarm:
        signal.signal(signal.SIGALRM, _hung)
    for number, (name, arguments) in zip(range(count), calls(seed)):
        passed = None
        if choose.random() < pipeline_share:
            try:
                passed = tuple(map(as_excel_passes, arguments))
            except (ValueError, TypeError, OverflowError):
                pass  # no sheet can hold this
        if with_alarm:
            signal.alarm(MOST_SECONDS)
        started = time.perf_counter()
        try:
            if passed is None:
                result = getattr(vram_udf, name)(*arguments)
                wrong = fault(result)
                first = result
                while isinstance(first, list) and not wrong:
                    first = first[0]
            else:
                variant = pywin32_stand_in.call("vram_udf", name, passed)
                wrong, first = marshalled_fault(variant), variant.value
                while isinstance(first, list):
                    first = first[0].value if hasattr(first[0], "value") else first[0]
        except HungError:
            wrong, first = f"hangs for {MOST_SECONDS} s", None
        except Exception as error:
            wrong, first = f"raises {type(error).__name__}: {error!s:.200}", None
        finally:
            if with_alarm:
                signal.alarm(0)
        slowest = max(slowest, time.perf_counter() - started)
        through = "plain" if passed is None else "xlwings"
        kinds[through] += 1
        kinds["number" if type(first) is float else first if first in RETURNABLE_ERRORS else "text"] += 1
        if wrong:
            faults.append(f"seed {seed} call {number} ({through}): {name}({_shown(arguments)}): {wrong}")
    return kinds, faults, slowest


def _shown(arguments: list[object]) -> str:
    try:
        return repr(arguments)[:400]
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "… an integer too long to write …"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    pywin32_stand_in.install()
    started = time.monotonic()
    kinds, faults, slowest = campaign(options.calls, options.seed)
    for line in faults[:20]:
        print(line)
    print(f"cell calls: {options.calls:,} ({kinds.pop('plain'):,} plain, {kinds.pop('xlwings', 0):,} "
          "through xlwings) in "
          f"{time.monotonic() - started:.0f} s, the slowest {slowest:.2f} s")  # fmt: skip
    print("  " + ", ".join(f"{kind} {number:,}" for kind, number in kinds.most_common()))
    print(f"  {len(faults):,} wrong")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
