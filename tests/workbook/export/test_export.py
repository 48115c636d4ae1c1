"""Exported decision sheets: formulas that live, values that are core's, and nothing that a user's text could do."""

from __future__ import annotations

import gc
import random
import re
import tracemalloc
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils import get_column_letter

from core import catalog
from core.catalog import CatalogModel
from core.catalog.draft_models import draft_model
from core.catalog.mig import gpu_or_slice, gpus_with_slices
from core.catalog.offer_choice import ITEMS, Price
from core.catalog.prices import cost_defaults
from core.engines.deployment import EngineSettings
from core.errors import PlannerError
from core.model.mixers import CrossAttention, FullAttention, Indexer, RecurrentState, SlidingWindowAttention
from core.model.precision import precision_of_bytes
from core.model.spec import LayerRun, ModelSpec
from core.plan.allocation import PAGED, RESERVED
from core.plan.costs import COST_LIMITS, OptionCosts, default_assumptions, default_policy, money_figures, option_costs
from core.plan.demand import MIN_SPEED
from core.plan.fleet import MAX_GPUS, Option, layout_title
from core.plan.layout_figures import has_shapes
from core.plan.ranking import SAME_COST
from core.plan.replica_figures import replica_figures
from core.plan.serving import RULE, VLLM
from core.units import GB
from tests.core.catalog.offer_examples import price
from tests.spreadsheets import libreoffice
from tests.spreadsheets.programs import in_each_program
from tests.workbook.formula_form import depth_of_if
from tests.workbook.reading import read, read_once
from vram.plans import plan
from vram.speeds import SpeedRange
from workbook import pdf
from workbook.audit.run import audit
from workbook.export import assumptions
from workbook.export import workbook as exported
from workbook.export.figures import (
    NOTHING,
    STAGE_INPUTS,
    figures_of,
    layouts_of,
    open_inputs,
    prices_by_field,
    recommended,
    stages_of,
)
from workbook.export.names import LONGEST_NAME, sheet_names
from workbook.export.page import fixed_text
from workbook.export.workbook import export_scenarios
from workbook.files import UnwritableFileError
from workbook.labels import LANGUAGES, Labels
from workbook.planner_reader import Planner
from workbook.scenario import FIELDS, GivenRow, Scenario

pytestmark = pytest.mark.slow

PAYLOADS = (
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "'History", "History", "a/b\\c:d*e?[f]", "{=1}", "&A &P <b>",
    'He said "no"', "https://example.org", "x" * 200, "客服机器人 🙂", "客服机器人 🙂", "index", "-", "0012",
)  # fmt: skip


def hybrid_model() -> CatalogModel:
    """Layers of every kind that is cached in its own way: full, windows of two sizes, an encoder's, a state, index."""
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64}
    layers = (
        LayerRun(count=3, mixer=FullAttention(**heads)),
        LayerRun(count=5, mixer=SlidingWindowAttention(**heads, sliding_window=1024)),
        LayerRun(count=2, mixer=SlidingWindowAttention(**heads, sliding_window=4096)),
        LayerRun(count=4, mixer=RecurrentState(conv_values=300, ssm_values=4096)),
        LayerRun(count=2, mixer=CrossAttention(**heads, encoder_tokens=1500)),
        LayerRun(count=2, mixer=FullAttention(**heads, indexer=Indexer(index_head_dim=128, bytes_per_token=132))),
    )
    spec = ModelSpec(name="hybrid", hidden_size=512, layers=layers, stated_parameters=1_234_567_891)
    return CatalogModel(
        name="hybrid", aliases=(), title="Hybrid", developer="", licence="", spec=spec, published_parameters=None,
        source="made up for this test", as_of="2026-11-23",
    )  # fmt: skip


def scenario(title="Chat", model="llama-3.1-70b", **changes) -> Scenario:
    fields = {
        "title": title,
        "model": catalog.model(model) if isinstance(model, str) else model,
        "context": 32_768,
        "users": 10,
        "precision": catalog.precision("precision", "fp16"),
        "kv_precision": catalog.precision("kv_precision", "fp8"),
        "engine": RULE,
        "overhead": 0.1,
        "gpu_memory_gb": 80.0,
    }
    return Scenario(**fields | changes)


def on_gpu(name: str) -> dict[str, object]:
    gpu = gpu_or_slice(name)
    return {"gpu": gpu, "gpu_memory_gb": gpu.memory_bytes / GB}


def can_be_sized(item: Scenario) -> bool:
    if item.engine == VLLM and not has_shapes(item.model.spec):
        return False
    try:
        _ = item.estimate
    except PlannerError:
        return False
    return True


def costs_of(item: Scenario, **given) -> tuple[Option | None, OptionCosts | None]:
    """Return the layout that core recommends at these prices, policy and assumptions, and its costs."""
    options = figures_of(item).options
    money = {option: money_figures(item.gpu, option, users=item.users, **given) for option in options}
    best = recommended(item, options, money)
    if best is None:
        return None, None
    return best, option_costs(item.gpu, best, users=item.users, gpus_by_division=item.gpus_by_division, **given)


def deployed(best: Option | None) -> list[object]:
    """Return what a page shows of a layout: its title, replicas, GPUs and nodes."""
    if best is None:
        return [NOTHING] * 4
    return [layout_title(best.replica.tp, best.replica.pp), best.replicas, best.gpus, best.nodes]


def several_scenarios() -> list[Scenario]:
    """Of every kind: engines, allocations, GPUs by name and by memory, formats, models that fit nowhere."""
    rng = random.Random(20261123)
    for_weights, for_kv = (
        [row.precision for row in catalog.precisions() if row.use in ("", use)] for use in ("weights", "kv")
    )
    rows = []
    while len(rows) < len(PAYLOADS):
        model = catalog.model(rng.choice(catalog.model_names()))
        engine = rng.choice([RULE, VLLM])
        allocation = rng.choice([RESERVED, PAGED])
        gpu = {"gpu_memory_gb": rng.choice([24, 80, 85.52])}
        if rng.random() < 0.6:
            gpu = on_gpu(rng.choice(gpus_with_slices()).name)
        item = scenario(
            PAYLOADS[len(rows)],
            model,
            context=rng.choice([1, 1000, 8192, 32_768, 131_072, 10**7]),
            users=rng.choice([1, 7, 100, 10**5]),
            allocation=allocation,
            average_tokens=rng.choice([1, 500, 20_000]) if allocation == PAGED else None,
            precision=rng.choice([None, *for_weights]),
            kv_precision=rng.choice(for_kv),
            engine=engine,
            overhead=rng.choice([0, 0.1, 0.123, 1]),
            **gpu,
        )
        if can_be_sized(item):
            rows.append(item)
    rows += [scenario("Windows", hybrid_model(), context=context, users=3) for context in (1024, 3000)]
    rows += [scenario(name, name, **on_gpu("h100-sxm")) for name in ("gemma-3-27b", "deepseek-v3")]
    rows += [
        scenario(name, name, precision=None, engine=VLLM, allocation=PAGED, average_tokens=3000, **on_gpu("h200-sxm"))
        for name in ("gpt-oss-120b", "qwen3-next-80b-a3b")
    ]
    head = {"draft_model": draft_model("eagle3-gpt-oss-120b"), "settings": EngineSettings(mtp_tokens=2, acceptance=0.7)}
    rows[-2] = replace(rows[-2], **head)
    rows.append(scenario("Priced", "gemma-3-27b", engine=VLLM, users=300, **on_gpu("h100-sxm")))
    shared = EngineSettings(attention_dp=2, shared_tokens=9000, lora_adapters=3, lora_rank=32)
    rows.append(scenario("Shared", "gpt-oss-120b", engine=VLLM, settings=shared, **on_gpu("h100-sxm")))
    rows.append(scenario("A head, by the rule", "gpt-oss-120b", **head, **on_gpu("h100-sxm")))
    drafting = EngineSettings(mtp_tokens=2, acceptance=0.7)
    rows.append(scenario("Drafting", "qwen3.5-27b", engine=VLLM, settings=drafting, **on_gpu("l40s")))
    rows.append(scenario("Paged", allocation=PAGED, average_tokens=2000, **on_gpu("h100-sxm")))
    return [*rows, scenario("Bytes", kv_precision=precision_of_bytes("kv_precision", 0.5625))]


def pages(book) -> list:
    return [ws for ws in book.worksheets[1:] if ws.title not in _OTHER_SHEETS]


_OTHER_SHEETS = {Labels(lang)(f"export.{key}") for lang in LANGUAGES for key in ("assumptions", "more")}


class Given:
    """Scenarios that need no file."""

    path = Path("scenarios.csv")

    def __init__(self, scenarios: list[Scenario]) -> None:
        self._scenarios = scenarios

    def given_rows(self):
        for line, item in enumerate(self._scenarios, start=2):
            yield GivenRow(f"line {line}", item, ())


@pytest.fixture(scope="session")
def sheets(tmp_path_factory, language) -> Path:
    """Pages of many kinds."""
    path = tmp_path_factory.mktemp("export") / "pages.xlsx"
    assert export_scenarios(path, Given(several_scenarios()), language) == len(several_scenarios())
    return path


@pytest.fixture(scope="session")
def crowd(tmp_path_factory) -> Path:
    """The same scenarios where only the first two get a page."""
    path = tmp_path_factory.mktemp("export") / "crowd.xlsx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exported, "MOST_PAGES", 2)
        export_scenarios(path, Given(several_scenarios()), "en")
    return path


def formula_cells(path):
    formulas, values = read_once(path), read_once(path, data_only=True)
    for ws in formulas:
        for row in ws.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    yield ws.title, cell.coordinate, cell.value, values[ws.title][cell.coordinate].value


def figures_by_label(ws) -> dict[str, str]:
    """The page's figures: the text of a label → the cell to its right; the first where it stands twice."""
    cells: dict[str, str] = {}
    for column, right in (("A", "B"), ("E", "G"), ("J", "K")):
        for cell in ws[column]:
            if isinstance(cell.value, str):
                cells.setdefault(cell.value, f"{right}{cell.row}")
    return cells


@in_each_program
def test_recalculated_values_are_those_in_the_file(program, sheets):
    agrees_with_its_formulas(program, sheets)


@in_each_program
def test_recalculated_values_are_those_of_rows_without_a_page(program, crowd):
    agrees_with_its_formulas(program, crowd)


def agrees_with_its_formulas(program, path) -> None:
    recalculated = program.recalculate(path)
    cells = list(formula_cells(path))
    assert len(cells) > 100
    for sheet, address, formula, stored in cells:
        value = recalculated[sheet][address]
        if isinstance(stored, (int, float)):
            assert value == pytest.approx(stored, rel=1e-9, abs=1e-15), (sheet, address, formula)
        else:
            assert value == stored, (sheet, address, formula)


def test_the_page_says_what_core_says(sheets, language):
    labels = Labels(language)
    book = read_once(sheets, data_only=True)
    for ws, item in zip(pages(book), several_scenarios()):
        needs, at = item.estimate, figures_by_label(ws)

        def value(label, ws=ws, at=at):
            return ws[at[labels(label)]].value

        sizes = {"weights": (needs.weights_bytes, 1), "kv": (needs.kv_bytes, 1), "total": (needs.total_bytes, 3)}
        for key, (size_bytes, parts) in sizes.items():  # core rounds each part up to whole bytes
            assert value(f"article.{key}") * GB == pytest.approx(size_bytes, rel=1e-12, abs=parts), (ws.title, key)
        assert value("article.gpus") == item.gpus_by_division
        best, costs = costs_of(item) if figures_of(item).prices else (figures_of(item).best, None)
        found = [value(f"scenarios.{key}") for key in ("layout", "replicas", "deploy", "nodes")]
        assert found == deployed(best), ws.title
        shown = [value(key) for key in ("export.precision", "scenarios.engine", "scenarios.allocation")]
        assert shown == [item.precision_name, item.engine, item.allocation]
        assert ws["A1"].value == item.title
        sentence = ws["A5"].value
        assert item.model.title in sentence and fixed_text(needs.total_bytes / GB, 1) in sentence
        if costs and costs.owned:
            assert value("export.capex") == pytest.approx(costs.owned.capex_usd, rel=1e-12)
            assert value("procurement.best_gpus") == costs.order.gpus


def every_kind_of_plan() -> list[Scenario]:
    """Scenarios that `vram plan` can answer: a named GPU with its own memory, the whole context reserved."""
    rng, rows = random.Random(7), []
    for gpu in catalog.gpus():
        item = scenario(
            f"On {gpu.name}", catalog.model(rng.choice(catalog.model_names())), context=rng.choice([2048, 8192, 32_768]),
            users=rng.choice([1, 10, 300, 5000]), precision=rng.choice([None, catalog.precision("precision", "fp8")]),
            kv_precision=catalog.precision("kv_precision", "fp16"), engine=rng.choice([VLLM, VLLM, RULE]),
            **on_gpu(gpu.name),
        )  # fmt: skip
        rows += [item] if can_be_sized(item) else []
    return rows


def test_a_page_recommends_what_vram_plan_puts_first(tmp_path):
    """Layout, GPUs, nodes and costs; also without a price or bandwidth, where the smallest layout is first."""
    items, labels = every_kind_of_plan()[::3], Labels("en")
    assert len(items) > 40 and {figures_of(item).prices is None for item in items} == {True, False}
    export_scenarios(tmp_path / "plans.xlsx", Given(items), "en")
    book = read(tmp_path / "plans.xlsx", data_only=True)
    compared = with_speed = 0
    for ws, item in zip(pages(book), items):
        answer = plan(
            item.model.name, users=item.users, context=item.context, gpus=[item.gpu.name],
            precision=item.precision_name, kv_precision="fp16", overhead=item.overhead if item.engine == RULE else None,
            min_speed=MIN_SPEED,
        )  # fmt: skip
        at = figures_by_label(ws)
        keys = ("scenarios.layout", "scenarios.replicas", "scenarios.deploy", "scenarios.nodes",
                "procurement.users_per_replica")  # fmt: skip
        found = [ws[at[labels(key)]].value for key in keys]
        if not answer.options:
            assert found == [NOTHING] * 5, item
            continue
        first = answer.options[0]
        title = layout_title(first.tp, first.pp)
        assert found == [title, first.replicas, first.gpus, first.nodes, first.users_per_replica], (ws.title, item)
        if first.speed is not None:
            shown = [ws[at[labels(f"export.{key}")]].value for key in _SPEED_LABELS]
            assert shown == pytest.approx(speed_figures(first.speed), rel=1e-9), (ws.title, item)
            with_speed += 1
        if figures_of(item).prices and first.costs.owned:
            assert ws[at[labels("export.npv")]].value == pytest.approx(first.costs.owned.npv_usd, rel=1e-9)
            compared += 1
    assert compared > 10 and with_speed > 10


_SPEED_LABELS = ("low_tokens_per_s", "tokens_per_s_per_user", "high_tokens_per_s", "first_token", "slow_first_token",
                 "output_tokens_per_s")  # fmt: skip


def speed_figures(speed: SpeedRange) -> list[float]:
    """Return what a page shows of a speed; a slow first token is the high one."""
    ends = (speed.low, speed.expected, speed.high)
    return [
        *(end.tokens_per_second_per_user for end in ends), speed.expected.time_to_first_token_s,
        speed.high.time_to_first_token_s, speed.expected.output_tokens_per_second,
    ]  # fmt: skip


def test_layouts_of_a_page_hold_the_users_of_core():
    """The terms give the users of each layout that the engine's own model gives, for every kind of scenario."""
    for item in [*several_scenarios(), *every_kind_of_plan()]:
        figures = figures_of(item)
        fitting = {option.replica: option.users_per_replica for option in item.options}
        served = {option.replica: option.users_per_replica for option in figures.options}
        for layout in layouts_of(figures):
            found = layout.figures
            assert fitting.get(layout.replica) in (None, found["fitting_users"])
            assert served.get(layout.replica, 0) == found["served_users"], (item.title, found["layout"])
            assert (layout.replica in served) == (found["size_key"] is not None), (item.title, found["layout"])


def test_about_equal_costs_are_decided_by_free_places(tmp_path):
    """The ranking of the calculation: a layout within 0.1 % of the cheapest, with more places, is recommended."""
    decided = []
    for users in range(1, 400, 7):
        figures = figures_of(scenario("Equal", "llama-3.1-8b", engine=VLLM, users=users, **on_gpu("h100-sxm")))
        costs = {option: money["net_present_cost"] for option, money in figures.money.items()}
        cheapest = min(costs, key=costs.__getitem__)
        assert costs[figures.best] <= costs[cheapest] * SAME_COST
        layouts = layouts_of(figures)
        last = {row.replica: row.figures["cheapest_cost"] for row in layouts if row.figures["cheapest_cost"]}
        assert figures.best.replica in last and last[figures.best.replica] == min(last.values())
        decided += [users] if costs[figures.best] > costs[cheapest] or len(last) < len(costs) else []
    assert decided


def test_windows_of_three_sizes_are_refused():
    model = hybrid_model()
    third = LayerRun(
        count=1,
        mixer=SlidingWindowAttention(num_attention_heads=8, num_key_value_heads=2, head_dim=64, sliding_window=128),
    )
    spec = replace(model.spec, layers=(*model.spec.layers, third))
    with pytest.raises(PlannerError, match="hybrid has sliding windows of more than two sizes"):
        figures_of(scenario("Three", replace(model, spec=spec)))


def changed(item: Scenario, rng: random.Random) -> tuple[Scenario, dict[str, float]]:
    """`item` with each of its open inputs changed at random, and what was typed."""
    typed: dict[str, float] = {}
    for field in open_inputs(item):
        typed[field] = {
            "context": lambda: rng.randint(1, 10**6),
            "users": lambda: rng.randint(1, 10**4),
            "average_tokens": lambda: rng.randint(1, 10**5),
            "overhead": lambda: round(rng.random(), 3),
            "gpu_memory_gb": lambda: rng.choice([48.0, 80.0, 141.5]),
        }[field]()
    return replace(item, **typed), {field: float(value) for field, value in typed.items()}


_INPUT_LABELS = {field.name: field.page_label for field in FIELDS if field.limits}
_COLUMN_LABELS = {field.name: field.label for field in FIELDS}
_FOLLOWED = ("Windows", "Priced", "Paged", "gpt-oss-120b", "gemma-3-27b")


@in_each_program
def test_pages_follow_their_inputs(program, sheets, language):
    """Each input and price changed at random: needs, layout and costs are core's for the changed scenario."""
    labels, rng = Labels(language), random.Random(3)
    book = read_once(sheets)
    found = {ws["A1"].value: ws for ws in pages(book)}
    items = {item.title: item for item in several_scenarios()}
    cases, expected, outputs_of = [], [], []
    for title in _FOLLOWED:
        ws, at = found[title], figures_by_label(found[title])
        keys = ["article.total", "article.gpus", "scenarios.layout", "scenarios.deploy", "scenarios.nodes"]
        keys += ["procurement.users_per_replica", "scenarios.replicas"]
        known = figures_of(items[title]).prices
        with_costs = known is not None
        keys += ["export.capex", "export.npv", "export.break_even", "export.cheaper"] if with_costs else []
        for _ in range(12):
            item, typed = changed(items[title], rng)
            case = {(ws.title, at[labels(_INPUT_LABELS[field])]): value for field, value in typed.items()}
            prices = None
            if with_costs:
                most = {"purchase": 5e4, "server_per_gpu": 1e4, "on_demand_per_gpu_hour": 9, "reserved_per_gpu_hour": 9}
                amounts = {name: round(rng.uniform(0.02, 1) * usd, 2) for name, usd in most.items()}
                prices = replace(
                    known, **{name: _at(getattr(known, name), usd, ITEMS[name]) for name, usd in amounts.items()}
                )
                for field, price in prices_by_field(prices).items():
                    case[ws.title, at[labels(f"export.price_{field}")]] = price.usd
            cases.append(case)
            expected.append((item, prices))
            outputs_of.append([(ws.title, at[labels(key)]) for key in keys])
    outputs = list(dict.fromkeys(output for outputs in outputs_of for output in outputs))
    with program.WhatIf(sheets) as what_if:
        answers = what_if.run(cases, outputs)
    for (item, prices), wanted, answer in zip(expected, outputs_of, answers):
        by_cell = dict(zip(outputs, answer))
        total, gpus, layout, deploy, nodes, each, replicas, *money = (by_cell[cell] for cell in wanted)
        assert total == pytest.approx(item.estimate.total_bytes / GB, rel=1e-9)
        assert gpus == item.gpus_by_division
        best, costs = costs_of(item, prices=prices) if prices else (figures_of(item).best, None)
        assert [layout, replicas, deploy, nodes] == deployed(best)
        assert each == (best.users_per_replica if best else NOTHING)
        if prices and costs is None:
            assert money == [NOTHING] * 4
        elif prices:
            capex, npv, break_even, cheaper = money
            assert capex == pytest.approx(costs.owned.capex_usd, rel=1e-9)
            assert npv == pytest.approx(costs.owned.npv_usd, rel=1e-9)
            assert break_even == (costs.break_even_month or labels("procurement.never"))
            assert cheaper == labels(f"procurement.{costs.cheaper}")


def _at(known: Price | None, usd: float, terms: str) -> Price:
    """Return the price at another amount; its smallest number of GPUs stays, as on the page."""
    return replace(known, usd=usd) if known else price(usd, terms)


@in_each_program
def test_costs_follow_the_shared_assumptions(program, sheets, language):
    """Every assumption changed at random, alone and all together."""
    labels, rng = Labels(language), random.Random(5)
    book = read_once(sheets)
    where = {name: book.defined_names[name].attr_text for name in assumptions.COST_INPUTS}
    names = {name: text.rpartition("!")[2].replace("$", "") for name, text in where.items()}
    sheet = labels("export.assumptions")
    ws = next(ws for ws in pages(book) if ws["A1"].value == "Priced")
    at = figures_by_label(ws)
    keys = ("procurement.best_gpus", "export.nodes_with_spares", "export.capex", "export.running", "export.month",
            "export.user_month", "export.tco", "export.npv")  # fmt: skip
    outputs = [(ws.title, at[labels(key)]) for key in keys]
    outputs += [(ws.title, address.replace("G", "H")) for _, address in outputs if address]
    ranges = dict.fromkeys(names, (0.0, 0.9)) | {
        "pue": (1, 2), "hosting_usd_per_kw_month": (0, 300), "hosting_usd_per_node_month": (0, 3000),
        "depreciation_years": (2, 8), "horizon_months": (6, 90), "spare_replicas": (0, 3), "spare_gpus": (0, 3),
        "whole_nodes": (0, 1), "may_buy": (0, 1), "may_rent": (1, 1), "rent_step": (1, 9), "owned_gpus": (0, 9), "hours_per_day": (0, 24),
        "days_per_month": (1, 31), **{f"{name}_usd_per_month": (0, 900) for name in ("staff", "software", "storage")},
    }  # fmt: skip
    whole = {name for name in names if COST_LIMITS[name].whole}

    def drawn(name: str) -> float:
        return rng.randint(*ranges[name]) if name in whole else round(rng.uniform(*ranges[name]), 4)

    # The share of a server's price is asked only where no price of a server is known.
    draws = [{name: drawn(name)} for name in names] + [{name: drawn(name) for name in names} for _ in range(10)]
    cases = [{(sheet, names[name]): float(value) for name, value in draw.items()} for draw in draws]
    with program.WhatIf(sheets) as what_if:
        answers = what_if.run(cases, outputs)
    item = next(item for item in several_scenarios() if item.title == "Priced")
    for draw, answer in zip(draws, answers):
        policy, given_ = taken(default_policy(), draw), taken(default_assumptions(), draw)
        _, costs = costs_of(item, policy=policy, assumptions=given_)
        owned, rented, order = costs.owned, costs.rented, costs.order
        expected = [
            order.gpus, order.nodes, owned.capex_usd, owned.opex_usd_per_month, owned.usd_per_month,
            costs.owning_usd_per_user_month, owned.tco_usd, owned.npv_usd, order.rented_gpus, NOTHING, NOTHING,
            rented.usd_per_month, NOTHING, costs.renting_usd_per_user_month, rented.tco_usd, rented.npv_usd,
        ]  # fmt: skip
        for key, value, found in zip([*keys, *keys], expected, answer):
            assert found == (value if value == NOTHING else pytest.approx(value, rel=1e-9)), (key, draw)


def taken(defaults, draw: dict[str, float]):
    """`defaults` with what of `draw` it has."""
    of_it = {field.name: draw[field.name] for field in fields(defaults) if field.name in draw}
    return replace(
        defaults,
        **{
            name: bool(value) if name in ("whole_nodes", "may_buy", "may_rent") else value
            for name, value in of_it.items()
        },
    )


@in_each_program
def test_rows_follow_their_inputs(program, crowd):
    """Needs are core's; GPUs to deploy too, of the stage and layout that the row has."""
    labels, rng = Labels("en"), random.Random(4)
    book = read_once(crowd, data_only=True)
    ws = book.worksheets[-1]
    headings = [cell.value for cell in ws[4]]

    def cell(label: str, row: int):
        return ws.title, f"{get_column_letter(headings.index(labels(label)) + 1)}{row}"

    cases, wanted, items = [], [], []
    for row, exported_item in enumerate(several_scenarios()[2:], start=5):
        item, typed = changed(exported_item, rng)
        if can_be_sized(item):
            items.append((exported_item, item))
            cases.append({cell(_COLUMN_LABELS[field], row): value for field, value in typed.items()})
            wanted.append([cell(f"scenarios.{key}", row) for key in ("total", "gpus", "layout", "deploy")])
    outputs = [output for of_row in wanted for output in of_row]
    with program.WhatIf(crowd) as what_if:
        answers = what_if.run(cases, outputs)
    for (before, item), of_row, answer in zip(items, wanted, answers):
        total, gpus, layout, deploy = (dict(zip(outputs, answer))[output] for output in of_row)
        assert total == pytest.approx(item.estimate.total_bytes / GB, rel=1e-9, abs=1 / GB)  # bytes are whole there
        assert gpus == item.gpus_by_division
        assert [layout, deploy] == row_of(before, item), item


def row_of(before: Scenario, item: Scenario) -> list[object]:
    """Return the layout and the GPUs of `item` in the layout, and on the stage, that `before` was exported with."""
    figures = figures_of(before, min_speed=None)
    best = figures.best
    if best is None:
        return [NOTHING, NOTHING]
    layout = next(layout for layout in layouts_of(figures) if layout.replica == best.replica)
    if item.engine == RULE:
        replica = replace(best.replica, gpu=item.gpu_choice)
        users = stages_of(figures_of(item), replica)[0]["rule_users"]
    else:
        stage = {name: layout.fullest[name] for name in STAGE_INPUTS[VLLM]}
        (found,) = replica_figures(item.service, best.replica, item.context, [stage])
        users = found["stage_users"] * item.service.groups
    gpus = -(-item.users // users) * best.replica.gpus if users else MAX_GPUS + 1
    return [deployed(best)[0], gpus if gpus <= MAX_GPUS else NOTHING]


def test_a_page_says_what_cannot_be_used(sheets, language):
    labels = Labels(language)
    ws = next(ws for ws in pages(read_once(sheets)) if ws["A1"].value == "Priced")
    at = figures_by_label(ws)
    users, price = at[labels("article.users")], at[labels("export.price_gpu_usd")]
    checks = [(ws.title, at[labels(f"export.check_{key}")]) for key in ("inputs", "costs", "all")]
    cases = [{(ws.title, users): 12_345.0}, {(ws.title, users): "ten"}, {(ws.title, price): -1.0}]
    with libreoffice.WhatIf(sheets) as what_if:
        many, ten, negative = what_if.run(cases, [(ws.title, "A5"), *checks])
    assert "12,345" in many[0] and many[1:] == [1, 1, 1]
    assert ten[0] == labels("export.unusable") and ten[1:] == [0, 1, 0]
    assert negative[1:] == [1, 0, 0]


def test_totals_of_the_index(crowd, sheets):
    scenarios = several_scenarios()
    for path in (crowd, sheets):
        ws = read(path, data_only=True).worksheets[0]
        assert ws["C4"].value == len(scenarios)
        of_page = [figures_of(item, min_speed=MIN_SPEED if path == sheets or number < 2 else None)
                   for number, item in enumerate(scenarios)]  # fmt: skip
        best = [figures.best for figures in of_page]
        assert ws["C5"].value == pytest.approx(sum(item.estimate.total_bytes for item in scenarios) / GB, rel=1e-9)
        assert ws["C6"].value == sum(item.gpus_by_division for item in scenarios)
        assert ws["C7"].value == sum(option.gpus for option in best if option)
        paged = of_page if path == sheets else of_page[:2]
        money = [
            figures.best_money for figures in paged if figures.best_money and figures.best_money["buys"] is not None
        ]
        assert 0 < len(money) < len(paged) or path == crowd
        sums = [
            sum(found["capex"] for found in money if found["buys"]),
            sum(found["own_month" if found["buys"] else "rent_month"] for found in money),
            sum(found["net_present_cost"] for found in money),
        ]
        assert [ws[f"C{row}"].value for row in (8, 9, 10)] == pytest.approx(sums, rel=1e-9)
        assert ws["C11"].value == len(scenarios) - len(money)
        assert ws["C12"].value == 0  # a context of ten million tokens is more than any of these models allows


def test_a_failing_check_shows_on_page_index_and_total(tmp_path):
    # Origin: Llama 2's config.json, max_position_embeddings 4096; DeepSeek-V3's weights are 689 GB, 16 T4 have 240.
    path = tmp_path / "long.xlsx"
    scenarios = [scenario(context=4096), scenario("Long", "llama-2-7b", context=4097)]
    scenarios.append(scenario("Large", "deepseek-v3", precision=None, **on_gpu("t4")))
    export_scenarios(path, Given(scenarios), "en")
    book = read(path, data_only=True)
    index = book.worksheets[0]
    assert [index[cell].value for cell in ("C12", "L18", "L19", "L20")] == [0, 1, 0, 0]
    at = {title: figures_by_label(book[title]) for title in ("Long", "Large")}
    assert book["Long"][at["Long"]["The model allows this context"]].value == 0
    assert book["Large"][at["Large"]["Every user has a place"]].value == 0
    assert book["Large"]["A6"].value.startswith("No layout of this GPU has room")


def test_scenarios_beyond_the_pages_stand_one_a_row(crowd):
    book = read_once(crowd, data_only=True)
    scenarios = several_scenarios()
    assert len(book.sheetnames) == 1 + 2 + 1 + 1
    ws = book.worksheets[-1]
    assert ws.max_row == 4 + len(scenarios) - 2
    headings = [cell.value for cell in ws[4]]
    assert len(set(headings)) == len(headings)
    found = [row[headings.index("GPUs to deploy")].value for row in ws.iter_rows(min_row=5)]
    assert found == [deployed(figures_of(item, min_speed=None).best)[2] for item in scenarios[2:]]
    totals = [row[headings.index("Total (GB)")].value for row in ws.iter_rows(min_row=5)]
    expected = [item.estimate.total_bytes / GB for item in scenarios[2:]]
    assert totals == pytest.approx(expected, rel=1e-9)
    assert (
        "2 scenarios" in book.worksheets[0]["A3"].value
        and f"other {len(scenarios) - 2}" in book.worksheets[0]["A3"].value
    )


def test_users_text_stays_text(sheets, crowd):
    for path in (sheets, crowd):
        texts = {}
        for ws in read(path):
            for row in ws.iter_rows():
                for cell in row:
                    if isinstance(cell.value, str):
                        texts.setdefault(cell.value, []).append(cell)
        for payload in PAYLOADS:
            assert payload in texts
            for cell in texts[payload]:
                assert cell.data_type == "s"
                assert cell.quotePrefix or not payload.startswith(("=", "+", "-", "@")), cell
        with zipfile.ZipFile(path) as package:
            everything = b"".join(map(package.read, package.namelist()))
        assert b'TargetMode="External"' not in everything
        assert b"DDE" not in everything and b"externalLink" not in everything


def test_formulas_are_ones_that_excel_2010_knows(sheets, crowd):
    known = set(
        "ABS AND COUNT COUNTIF FIXED IF INDEX INT ISNUMBER LEN LOG MATCH MAX MIN OR ROUND ROUNDUP ROWS SUM".split()
    )
    for path in (sheets, crowd):
        for _, _, formula, _ in formula_cells(path):
            without_text = re.sub(r"\"[^\"]*\"|'[^']*'", "", formula)
            assert set(re.findall(r"([A-Z_][A-Z_0-9.]*)\(", without_text)) <= known, formula


def test_inputs_are_open_and_checked_and_all_else_is_locked(sheets):
    book = read_once(sheets)
    for ws, item in zip(pages(book), several_scenarios()):
        assert ws.protection.sheet and ws.protection.password is None
        checked = {str(rule.sqref) for rule in ws.data_validations.dataValidation}
        assert len(checked) == len(open_inputs(item)) + (len(assumptions.PRICES) if figures_of(item).prices else 0)
        opened = [cell for row in ws.iter_rows() for cell in row if not cell.protection.locked]
        assert {cell.coordinate for cell in opened if cell.value is not None} <= checked
    shared = book[Labels("en")("export.assumptions")] if "Assumptions" in book.sheetnames else book["假设"]
    assert shared.protection.sheet
    opened = {cell.coordinate for row in shared.iter_rows() for cell in row if not cell.protection.locked}
    assert opened == {str(rule.sqref) for rule in shared.data_validations.dataValidation}
    assert len(opened) == len(assumptions.INPUTS)


def test_every_price_and_assumption_has_its_source_and_date(sheets):
    book = read_once(sheets)
    ws = next(ws for ws in pages(book) if ws["A1"].value == "Priced")
    found = prices_by_field(figures_of(next(item for item in several_scenarios() if item.title == "Priced")).prices)
    texts = {cell.value for row in ws.iter_rows() for cell in row if isinstance(cell.value, str)}
    for known in found.values():
        offer = known.offer
        assert any(text.endswith(f"; {offer.source}; {offer.note}") and str(offer.date) in text for text in texts)
    shared = book.worksheets[-1]
    by_label = {row[0].value: row for row in shared.iter_rows()}
    labels = Labels("en" if "Index" in book.sheetnames else "zh")
    for field in assumptions.COST_INPUTS:
        row = by_label[labels(f"procurement.{field}")]
        assert row[5].value.startswith(cost_defaults()[field].source) and row[6].value == cost_defaults()[field].as_of


def test_two_pages_each_with_a_chart_that_has_words(sheets):
    book = read_once(sheets)
    for ws in pages(book):
        assert (ws.page_setup.fitToWidth or 1, ws.page_setup.fitToHeight) == (1, 0)
        assert ws.sheet_properties.pageSetUpPr.fitToPage and len(ws.row_breaks) == 1
        assert ws.print_area
    with zipfile.ZipFile(sheets) as package:
        charts = [name for name in package.namelist() if name.startswith("xl/charts/chart")]
        drawings = [package.read(name).decode() for name in package.namelist() if "drawings/drawing" in name]
    assert len(charts) == len(pages(book)) + 1
    frames = [f for drawing in drawings for f in re.findall(r"<xdr:cNvPr [^>]*>", drawing)]
    assert len(frames) == len(charts) and all(re.search(r'descr="[^"]{10,}"', frame) for frame in frames)


def test_links_lead_to_the_pages_and_back(sheets):
    book = read_once(sheets)
    links = [cell.hyperlink.location for row in book.worksheets[0].iter_rows() for cell in row if cell.hyperlink]
    names = [location.rpartition("!")[0][1:-1].replace("''", "'") for location in links]
    assert names == [ws.title for ws in pages(book)]
    for ws in pages(book):
        (back,) = [cell.hyperlink.location for row in ws.iter_rows() for cell in row if cell.hyperlink]
        assert back == f"'{book.sheetnames[0]}'!A1"


def test_an_audit_passes(sheets, crowd):
    for path in (sheets, crowd):
        assert [str(result) for result in audit(path, with_house=False).results if not result.passed] == []


_REFERENCE = re.compile(r"\$?[A-Z]{1,3}\$?[0-9]+(?::\$?[A-Z]{1,3}\$?[0-9]+)?|\b[a-z_][a-z_0-9]*\b")


def test_formulas_are_short_enough_to_be_followed(sheets, crowd):
    """At most 200 characters, 8 different references, and IF 3 deep."""
    for path in (sheets, crowd):
        for sheet, address, formula, _ in formula_cells(path):
            plain = re.sub(r"\"[^\"]*\"", '""', formula.removeprefix("="))
            assert len(formula) <= 201, (sheet, address, formula)
            assert depth_of_if(plain) <= 3, (sheet, address, formula)
            references = set(_REFERENCE.findall(re.sub(r"'[^']*'!", "", plain)))
            assert len(references) <= 8, (sheet, address, formula)


def test_the_same_scenarios_give_the_same_bytes(tmp_path):
    for name in ("a.xlsx", "b.xlsx"):
        export_scenarios(tmp_path / name, Given(several_scenarios()), "en")
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_memory_does_not_grow_with_the_scenarios(tmp_path, monkeypatch):
    """Four times the rows take no more memory; a row that is held takes some kilobytes, and 50 bytes would show."""
    monkeypatch.setattr(exported, "MOST_PAGES", 1)

    class Many(Given):
        def given_rows(self):
            for line in range(self._scenarios):
                yield GivenRow(f"line {line}", scenario(f"Scenario {line}", users=line + 1), ())

    def peak_bytes(count: int) -> int:
        gc.collect()  # what earlier tests left in cycles is not this one's
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        export_scenarios(tmp_path / "many.xlsx", Many(count), "en")
        return tracemalloc.get_traced_memory()[1] - before

    # Traced from before the caches are full (the largest keep 4096 texts), so that what they give up is known, too.
    tracemalloc.start()
    try:
        peak_bytes(5000)
        # From two thousand rows on, as up to there what XlsxWriter and zlib buffer still fills; and a cache that makes its
        # table anew has the old one beside it for a moment.
        assert peak_bytes(8000) < peak_bytes(2000) + 300_000
    finally:
        tracemalloc.stop()


def test_progress_is_told(tmp_path):
    told = []
    export_scenarios(tmp_path / "p.xlsx", Given([scenario()] * 3), "en", lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_failure_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "old.xlsx"
    path.write_bytes(b"old")

    class Failing(Given):
        def given_rows(self):
            self.readings = getattr(self, "readings", 0) + 1
            yield from super().given_rows()
            if self.readings > 1:
                raise OSError(28, "No space left on device")

    with pytest.raises(UnwritableFileError, match="No space left on device"):
        export_scenarios(path, Failing([scenario()] * 3), "en")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@given(st.lists(st.text(max_size=60), max_size=12))
def test_sheet_names_are_ones_that_excel_allows(titles):
    names = sheet_names(titles, ("Index", "More scenarios"))
    assert len(names) == len(titles)
    folded = [name.casefold() for name in names] + ["index", "more scenarios", "history"]
    assert len(set(folded)) == len(folded)
    for name in names:
        assert 1 <= len(name.encode("utf-16-le")) // 2 <= LONGEST_NAME
        assert not re.search(r"[\[\]:*?/\\!\x00-\x1f]", name)
        assert not name.startswith("'") and not name.endswith("'") and name == name.strip()


@pytest.mark.parametrize(
    ("titles", "names"),
    [
        (["Chat"], ["Chat"]),
        (["Chat", "chat", "CHAT"], ["Chat", "chat (2)", "CHAT (3)"]),
        (["a/b\\c:d*e?[f]"], ["a-b-c-d-e--f-"]),
        (["'History'", "history"], ["History (2)", "history (3)"]),
        (["Index"], ["Index (2)"]),
        (["", "'", "\t"], ["-", "- (2)", "- (3)"]),
        (["x" * 40, "x" * 40], ["x" * 31, "x" * 27 + " (2)"]),
        (["🙂" * 20], ["🙂" * 15]),  # two UTF-16 units each
    ],
)
def test_sheet_names(titles, names):
    assert sheet_names(titles, ("Index",)) == names


@pytest.mark.parametrize(
    ("number", "decimals", "text"),
    # Origin: FIXED in LibreOffice 25.2 and IronCalc 0.9.1: half up, of the decimal digits that are shown.
    [
        (0.25, 1, "0.3"),
        (1.15, 1, "1.2"),
        (1077.25, 1, "1,077.3"),
        (1234567, 0, "1,234,567"),
        (0, 1, "0.0"),
        (2.5, 0, "3"),
    ],
)
def test_fixed_text(number, decimals, text):
    assert fixed_text(number, decimals) == text


class TestCommand:
    CSV = "scenario,model,context,users,gpu_memory_gb,precision,engine\n{rows}"

    def write(self, folder, *rows) -> Path:
        path = folder / "scenarios.csv"
        path.write_text(self.CSV.format(rows="\n".join(rows)), encoding="utf-8")
        return path

    def test_a_csv_file(self, vram, tmp_path):
        path = self.write(tmp_path, "A,llama-3.1-70b,32000,10,80,fp16,rule", "B,llama-3.1-70b,32000,1,80,fp16,rule")
        status, out, err = vram("export", path, "-o", tmp_path / "new" / "out.xlsx", "--lang", "zh")
        assert (status, err) == (0, "") and "2 scenarios" in out
        index = read(tmp_path / "new" / "out.xlsx", data_only=True)["目录"]
        # Origin: (141.107412992 + 104.8576) × 1.1 and (141.107412992 + 10.48576) × 1.1, by hand.
        assert [index["Y18"].value, index["Y19"].value] == pytest.approx([270.5615142912, 166.7524902912], rel=1e-12)

    def test_a_filled_planner(self, vram, small_planners, tmp_path):
        status, _, err = vram("export", small_planners["zh"], "-o", tmp_path / "out.xlsx")
        assert (status, err) == (0, "")
        index = read(tmp_path / "out.xlsx", data_only=True)["Index"]
        expected = [row.scenario.estimate.total_bytes / GB for row in Planner(small_planners["zh"])]
        assert [index[f"Y{18 + i}"].value for i in range(10)] == pytest.approx(expected, rel=1e-9)

    def test_bad_rows_are_all_named_and_nothing_is_written(self, vram, tmp_path):
        path = self.write(tmp_path, "A,llama-3.1-70b,32X,0,80", "B,llama-3-8b,1,1,24", "C,lama-3.1-70b,1,1,80")
        status, out, err = vram("export", path, "-o", tmp_path / "out.xlsx")
        assert (status, out) == (2, "")
        first, *lines = err.splitlines()
        assert first.startswith("vram: ") and "3 problems, nothing was written" in first
        assert lines == [
            "line 2, context: '32X' is text, not a number. Write the context in tokens, for example 32768.",
            "line 2, users: 0 is below 1. Write the number of concurrent users, for example 10.",
            "line 4, model: 'lama-3.1-70b' is not known. Did you mean 'llama-3.1-70b'?",
        ]
        assert not (tmp_path / "out.xlsx").exists()

    def test_of_many_problems_the_first_are_named(self, vram, tmp_path):
        path = self.write(tmp_path, *["A,llama-3.1-70b,x,0,80"] * 50)
        _, _, err = vram("export", path, "-o", tmp_path / "out.xlsx")
        assert "100 problems" in err and err.count("\n") == 22 and "… and 80 more." in err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["missing.csv", "-o", "out.xlsx"], "no such file"),
            (["scenarios.csv", "-o", "out.pdf"], "does not end in .xlsx"),
            (["scenarios.csv"], "--output"),
            (["empty.csv", "-o", "out.xlsx"], "it has no scenario"),
            (["planner.xlsx", "-o", "planner.xlsx"], "is the file that is read"),
        ],
    )
    def test_refusals_are_one_sentence(self, vram, small_planners, tmp_path, monkeypatch, arguments, words):
        monkeypatch.chdir(tmp_path)
        self.write(tmp_path, "A,llama-3.1-70b,1,1,80")
        Path("empty.csv").write_text(self.CSV.format(rows=""), encoding="utf-8")
        Path("planner.xlsx").write_bytes(small_planners["en"].read_bytes())
        status, out, err = vram("export", *arguments)
        assert (status, out) == (2, "") and words in err
        assert err.startswith("vram: ") and err.count("\n") == 1
        assert not Path("out.xlsx").exists()
        assert Path("planner.xlsx").read_bytes() == small_planners["en"].read_bytes()

    @pytest.mark.needs("libreoffice")
    def test_pdf(self, vram, tmp_path):
        libreoffice.soffice()  # skips, or in CI fails, where there is none
        path = self.write(tmp_path, "A,llama-3.1-70b,32000,10,80,fp16,rule", "B,llama-3.1-70b,32000,1,80,fp16,rule")
        status, _, err = vram("export", path, "-o", tmp_path / "out.xlsx", "--pdf")
        assert (status, err) == (0, "")
        printed = (tmp_path / "out.pdf").read_bytes()
        assert printed.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 9  # the index, two pages each, four of assumptions

    def test_pdf_without_libreoffice_is_refused_before_anything_is_written(self, vram, tmp_path, monkeypatch):
        monkeypatch.setattr(pdf, "possible_offices", lambda: iter(()))
        path = self.write(tmp_path, "A,llama-3.1-70b,32000,10,80")
        status, out, err = vram("export", path, "-o", tmp_path / "out.xlsx", "--pdf")
        assert (status, out) == (2, "") and err.count("\n") == 1
        assert "LibreOffice" in err and "leave --pdf out" in err
        assert list(tmp_path.iterdir()) == [path]


def test_no_text_is_printed_smaller_than_8_points(sheets):
    (result,) = [result for result in audit(sheets).results if result.check.key == "small_print"]
    assert result.passed, str(result)
