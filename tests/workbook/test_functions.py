"""Compare the workbook's functions, computed by IronCalc, with the add-in's functions and with `core`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import openpyxl
import pytest

import vram_udf
from core import catalog
from core.catalog.hardware import Gpu
from core.errors import PlannerError
from core.plan.costs import option_costs
from core.plan.fleet import choice_of_gpu, options, smallest_first
from core.plan.serving import service_of
from tests.spreadsheets.ironcalc_program import Calculator
from tests.workbook.planner_rows import few
from tests.workbook.reading import read_once
from workbook import functions_book
from workbook.audit.run import audit
from workbook.functions.all import KNOWN, functions
from workbook.functions.examples import EXAMPLES
from workbook.labels import LANGUAGES, Labels

pytestmark = pytest.mark.slow

TOLERANCE = 1e-9
ONE_BYTE_GB = 1e-9  # `core` works in whole bytes, formulas do not
# One of each kind of cache, of weights as shipped and of layers; `make parity` takes every model of the catalog.
SAMPLE = (
    "article-llama-70b", "llama-3.1-8b", "llama-3.1-70b", "mistral-7b-v0.1", "gemma-3-27b", "gpt-oss-20b",
    "deepseek-v3", "deepseek-v4-flash", "qwen3-next-80b-a3b", "mixtral-8x7b", "jamba-1.5-mini",
)  # fmt: skip
OMITTED = ""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of all functions; None is omitted."""

    context: int
    users: int
    gpu: str
    gpus: int
    prompt: int
    answer: int
    precision: str | None = None
    kv_precision: str | None = None
    overhead: float | None = None
    result: str | None = None


SETS = (
    Arguments(context=8_192, users=1, gpu="h100-sxm", gpus=8, prompt=2_000, answer=500),
    Arguments(context=32_768, users=10, gpu="h200-sxm", gpus=8, prompt=30_000, answer=2_000, precision="fp8",
              kv_precision="fp8", overhead=0.1, result="low"),
    Arguments(context=131_072, users=3, gpu="b200", gpus=16, prompt=100_000, answer=1_000, precision="nvfp4",
              result="high"),
    Arguments(context=4_096, users=200, gpu="a100-sxm-80gb", gpus=32, prompt=1_000, answer=200, precision="awq",
              overhead=0, result="total"),
    Arguments(context=1, users=1, gpu="l40s", gpus=1, prompt=1, answer=1, precision="int4", kv_precision="fp32",
              overhead=1, result="first_token"),
    Arguments(context=16_384, users=64, gpu="mi300x", gpus=8, prompt=8_192, answer=1_024, precision="fp16",
              kv_precision="fp8", result="users_at_once"),
    Arguments(context=2_048, users=5_000, gpu="rtx-4090", gpus=100, prompt=700, answer=300, precision="q4_k_m",
              kv_precision="int8", overhead=0.25, result="limited_by"),
    Arguments(context=1_000_000, users=7, gpu="h200-nvl", gpus=64, prompt=60_000, answer=9_000, precision="int8",
              kv_precision="bf16", result="layout"),
)  # fmt: skip


@pytest.fixture(scope="module")
def models() -> tuple[str, ...]:
    return tuple(catalog.model_names()) if "VRAM_PARITY_CASES" in os.environ else SAMPLE


@pytest.fixture(scope="module")
def calculator(models, tmp_path_factory) -> Calculator:
    path = tmp_path_factory.mktemp("functions") / "functions.xlsx"
    with few(models, sheet_gpus=None):
        path.write_bytes(functions_book.without_values("en"))
    return Calculator(path)


def test_functions_are_those_of_the_add_in(calculator, models):
    """Every model with every set of arguments: the same number, text or error."""
    cases = [case for model in models for arguments in SETS for case in cases_of(model, arguments)]
    results = calculator.results([formula for formula, _ in cases])
    wrong = [
        (formula, found, expected) for (formula, expected), found in zip(cases, results) if not is_same(found, expected)
    ]
    assert not wrong, (len(wrong), len(cases), wrong[:20])
    assert len(cases) == len(models) * len(SETS) * 7


def cases_of(model: str, a: Arguments) -> Iterator[tuple[str, object]]:
    """Yield (formula, expected result) of each function."""
    formats, budget = (a.precision, a.kv_precision), (a.precision, a.kv_precision, a.overhead)
    weights, cache = (model, a.precision), (model, a.context, a.users, a.kv_precision)
    total, deploy = (model, a.context, a.users, *budget), (model, a.context, a.users, a.gpu, *budget)
    users = (model, a.context, a.gpu, a.gpus, *budget)
    speed = (model, a.prompt, a.answer, a.users, a.gpu, a.gpus, *formats, a.result)
    yield call("LLM_WEIGHTS", *weights), vram_udf.VRAM_WEIGHTS(*weights)
    yield call("LLM_KV", *cache), vram_udf.VRAM_KV(*cache)
    yield call("LLM_TOTAL", *total), vram_udf.VRAM_TOTAL(*total)
    yield call("LLM_GPUS", *deploy), vram_udf.VRAM_GPUS(*deploy)
    yield call("LLM_USERS", *users), vram_udf.VRAM_MAX_USERS(*users)
    yield call("LLM_SPEED", *speed), vram_udf.VRAM_SPEED(*speed)
    yield call("LLM_COST", *deploy), cost(model, a, catalog.gpu(a.gpu))


def call(function: str, *arguments: object) -> str:
    """Return a formula; arguments at the end that are None are left out."""
    texts = [
        OMITTED if value is None else f'"{value}"' if isinstance(value, str) else str(value) for value in arguments
    ]
    while not texts[-1]:
        del texts[-1]
    return f"={function}({','.join(texts)})"


def cost(model: str, a: Arguments, gpu: Gpu) -> object:
    """Return the cost per month of the layout with the fewest GPUs, or the error."""
    try:
        precision = catalog.weights_precision(a.precision or "shipped")
        kv_precision = catalog.precision("kv_precision", a.kv_precision or "fp16")
        service = service_of(catalog.model(model).spec, precision, kv_precision, a.overhead)
        smallest = min(options(service, choice_of_gpu(gpu), a.users, a.context), key=smallest_first, default=None)
    except PlannerError:
        return "#VALUE!"
    if smallest is None:
        return "#NUM!"
    found = option_costs(gpu, smallest, users=a.users, gpus_by_division=1).outcome["cost_month"]
    return "#N/A" if found is None else found


def is_same(found: object, expected: object) -> bool:
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return found == pytest.approx(expected, rel=TOLERANCE, abs=ONE_BYTE_GB)
    return found == expected


@pytest.mark.parametrize(
    ("formula", "same_in_add_in"),
    [
        ('=LLM_KV("no-such-model",8192)', ("VRAM_KV", "no-such-model", 8192)),
        ('=LLM_KV("llama*",8192)', ("VRAM_KV", "llama*", 8192)),
        ("=LLM_KV(70,8192)", ("VRAM_KV", 70.0, 8192)),
        ("=LLM_KV(B1,8192)", ("VRAM_KV", None, 8192)),
        ('=LLM_KV("llama-3.1-8b",0)', ("VRAM_KV", "llama-3.1-8b", 0)),
        ('=LLM_KV("llama-3.1-8b",8192.5)', ("VRAM_KV", "llama-3.1-8b", 8192.5)),
        ('=LLM_KV("llama-3.1-8b","8192")', ("VRAM_KV", "llama-3.1-8b", "8192")),
        ('=LLM_KV("llama-3.1-8b",TRUE)', ("VRAM_KV", "llama-3.1-8b", True)),
        ('=LLM_KV("llama-3.1-8b",B1)', ("VRAM_KV", "llama-3.1-8b", None)),
        ('=LLM_KV("llama-3.1-8b",1/0)', ("VRAM_KV", "llama-3.1-8b", "#DIV/0!")),
        ('=LLM_KV("llama-3.1-8b",8192,B1,B1)', ("VRAM_KV", "llama-3.1-8b", 8192, None, None)),
        ('=LLM_KV("LLAMA-3.1-8B",8192,2,"FP8")', ("VRAM_KV", "LLAMA-3.1-8B", 8192, 2, "FP8")),
        ('=LLM_KV("llama-3.1-8b",8192,1,"awq")', ("VRAM_KV", "llama-3.1-8b", 8192, 1, "awq")),
        ('=LLM_TOTAL("llama-3.1-8b",8192,1,,,1.5)', ("VRAM_TOTAL", "llama-3.1-8b", 8192, 1, None, None, 1.5)),
        ('=LLM_GPUS("llama-3.1-8b",8192,10,"no-gpu")', ("VRAM_GPUS", "llama-3.1-8b", 8192, 10, "no-gpu")),
        ('=LLM_GPUS("no-model",8192,10,"l4")', ("VRAM_GPUS", "no-model", 8192, 10, "l4")),
        ('=LLM_GPUS("llama-3.1-8b",8192,0,"l4")', ("VRAM_GPUS", "llama-3.1-8b", 8192, 0, "l4")),
        ('=LLM_USERS("llama-3.1-8b",8192,"l4","8")', ("VRAM_MAX_USERS", "llama-3.1-8b", 8192, "l4", "8")),
        ('=LLM_USERS("llama-3.1-8b",8192,"l4",8,,,2)', ("VRAM_MAX_USERS", "llama-3.1-8b", 8192, "l4", 8, None, None, 2)),
        ('=LLM_SPEED("llama-3.1-8b",2000,500,10,80,8)', ("VRAM_SPEED", "llama-3.1-8b", 2000, 500, 10, True, 8)),
        ('=LLM_GPUS("llama-3.1-70b",1000000,1,"l4")', ("VRAM_GPUS", "llama-3.1-70b", 1_000_000, 1, "l4")),
        ('=LLM_GPUS("llama-3.1-70b",8192,1,"l4",,,0.1)', ("VRAM_GPUS", "llama-3.1-70b", 8192, 1, "l4", None, None, 0.1)),
        ('=LLM_USERS("deepseek-v3",8192,"l4",1)', ("VRAM_MAX_USERS", "deepseek-v3", 8192, "l4", 1)),
        ('=LLM_SPEED("llama-3.1-8b",2000,500,10,"h100-sxm",8,,,"fast")',
         ("VRAM_SPEED", "llama-3.1-8b", 2000, 500, 10, "h100-sxm", 8, None, None, "fast")),
        ('=LLM_SPEED("llama-3.1-8b",2000,500,10,"jetson-thor",1)',
         ("VRAM_SPEED", "llama-3.1-8b", 2000, 500, 10, "jetson-thor", 1)),
        ('=LLM_SPEED("deepseek-v3",2000,500,10,"l4",1)', ("VRAM_SPEED", "deepseek-v3", 2000, 500, 10, "l4", 1)),
    ],
)  # fmt: skip
def test_bad_and_missing_arguments_give_the_errors_of_the_add_in(calculator, formula, same_in_add_in):
    name, *arguments = same_in_add_in
    (found,) = calculator.results([formula])
    assert is_same(found, getattr(vram_udf, name)(*arguments)), found


def test_an_own_model_without_figures_is_not_found(calculator):
    assert calculator.results(['=LLM_WEIGHTS("own-1")']) == ["#N/A"]


def test_a_column_of_models(calculator):
    (found,) = calculator.results(['=SUM(MAP({"llama-3.1-8b";"llama-3.1-70b"},LAMBDA(m,LLM_KV(m,8192))))'])
    assert found == pytest.approx(vram_udf.VRAM_KV("llama-3.1-8b", 8192) + vram_udf.VRAM_KV("llama-3.1-70b", 8192))


def test_examples_give_what_the_sheet_says(calculator):
    found = calculator.results([example.text for example in EXAMPLES])
    assert found == pytest.approx([example.computed() for example in EXAMPLES], rel=TOLERANCE)


def test_the_planner_computes_the_same_and_nothing_depends_on_it(small_planners, language):
    """In the planner, which has more names and tables; only the sheet Functions uses LAMBDA."""
    planner = small_planners[language]
    book = read_once(planner)
    own = {function.name: function for function in functions(Labels(language))}
    names = {name.casefold() for name in book.defined_names} | {t.casefold() for ws in book for t in ws.tables}
    for function in own.values():
        bound = {*function.required, *function.optional, *function.steps, *function.inner}
        assert not names & bound, function.name
        assert book.defined_names[function.name].attr_text == function.stored
    assert {name for name in book.defined_names if "LLM_" in name} == {*own, KNOWN}
    of_functions = Labels(language)("sheet.functions")
    for ws in book:
        for row in ws.iter_rows():
            for cell in row:
                if cell.data_type == "f" and "LLM_" in str(cell.value):
                    assert (ws.title, cell.value) == (of_functions, f"=IFERROR({KNOWN},0)")
    if language == LANGUAGES[0]:
        found = Calculator(planner).results([example.text for example in EXAMPLES])
        assert found == pytest.approx([example.computed() for example in EXAMPLES], rel=TOLERANCE)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_workbook_of_functions_is_complete_and_passes_the_audit(lang, tmp_path):
    path = tmp_path / "functions.xlsx"
    with few(SAMPLE, sheet_gpus=None):
        path.write_bytes(functions_book.build(lang))
    found = audit(path)
    assert found.passed, [(result.check.key, result.faults[:3]) for result in found.results if not result.passed]
    labels = Labels(lang)
    assert openpyxl.load_workbook(path).sheetnames == [labels(f"sheet.{key}") for key in functions_book.SHEET_ORDER]
