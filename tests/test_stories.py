"""Five questions of buyers, from their inputs to the answer, with figures worked by hand.

The command line's API, and Plan and Scenarios in both spreadsheet programs, have to give them.

Eight H200, from core/catalog/data: 32 000 USD each, a server of 54 % of that, and 4.86 % for the network:
8 × 32 000 × 1.54 × 1.0486 = 413 400.06 at the start. They draw 8 × 0.7 kW × 1.82 = 10.192 kW. A month:
power 10.192 × 0.76 × 1.54 × 0.146 × 730 = 1 271.36, hosting 10.192 × 184.06 = 1 875.94, support 413 400.06 × 0.06 ÷ 12 =
2 067.00, and depreciation 413 400.06 × 0.9 ÷ 60 = 6 201.00; in all 11 415.30. Renting eight: 8 × 730 × 7.91.
"""

from __future__ import annotations

from collections.abc import Mapping

import openpyxl
import pytest

import vram
from tests.spreadsheets.programs import in_each_program
from tests.workbook.planner_rows import few, row
from workbook.labels import Labels
from workbook.sheets import plan, scenarios
from workbook.template import without_values

pytestmark = pytest.mark.slow

LABELS = Labels("en")
EIGHT_H200_USD, EIGHT_H200_MONTH = 413_400.06, 11_415.30
FP8 = {"precision": "fp8", "kv_precision": "fp8", "engine": "vllm"}
ROWS = [
    row("staff", "llama-3.3-70b", context=3000, output_tokens=500, users=100, gpu="h200-sxm", **FP8),
    row("retrieval", "qwen2.5-72b", context=16_384, output_tokens=384, users=40, precision="awq", kv_precision="fp8",
        engine="vllm", gpu="h100-sxm"),
    row("in house", "deepseek-r1", context=6144, output_tokens=2048, users=50, precision="shipped", gpu="h200-sxm",
        engine="vllm"),
]  # fmt: skip
RESULTS = (
    "plan_gpu", "plan_way", "plan_gpus", "plan_replicas", "plan_capex", "plan_cost_per_month", "plan_speed_low",
    "plan_cost_per_person_month", "plan_cost_per_million_tokens", "plan_net_present_cost",
)  # fmt: skip
BUY, RENT = (LABELS(f"procurement.{way}") for way in ("buy", "rent"))


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    path = tmp_path_factory.mktemp("stories") / "planner.xlsx"
    with few({row["model"] for row in ROWS}, gpus={row["gpu"] for row in ROWS}):
        path.write_bytes(without_values("en", ROWS))
    names = openpyxl.load_workbook(path, read_only=True).defined_names
    cells = {}
    for name in RESULTS:
        ((sheet, address),) = names[name].destinations
        cells[name] = sheet, address.replace("$", "")
    return path, cells


def story(scenario: str, **inputs: object) -> dict[str, object]:
    return {"plan_scenario": scenario, "plan_candidates": "h200-sxm"} | inputs


STORIES: dict[str, dict[str, object]] = {
    "2 000 staff, 5 % active, 70B in FP8": story(
        "staff", plan_people=2000.0, plan_active_share=0.05, plan_min_speed=20.0
    ),
    "retrieval with 16K prompts": story("retrieval", plan_candidates="h100-sxm"),
    "DeepSeek-R1 in house": story("in house"),
    "eight H200 bought": story("staff", plan_way_wanted="buy"),
    "eight H200 rented": story("staff", plan_way_wanted="rent"),
}


@in_each_program
def test_the_planner_answers(program, planner):
    path, cells = planner
    inputs = plan.input_cells(LABELS)
    totals = [(LABELS("sheet.scenarios"), f"{scenarios.letter('cost_month')}{number}")
              for number in (scenarios.TOTAL_ROW, *range(scenarios.FIRST_ROW, scenarios.FIRST_ROW + len(ROWS)))]  # fmt: skip
    blank = dict.fromkeys(name for inputs_of in STORIES.values() for name in inputs_of)
    usual = blank | {"plan_min_speed": 10.0, "plan_way_wanted": "either"}
    cases = [{inputs[name]: value for name, value in (usual | given).items()} for given in STORIES.values()]
    with program.WhatIf(path) as session:
        results = session.run(cases, [*cells.values(), *totals])
    found = {name: dict(zip(RESULTS, values)) for name, values in zip(STORIES, results)}
    staff(found["2 000 staff, 5 % active, 70B in FP8"])
    retrieval(found["retrieval with 16K prompts"])
    in_house(found["DeepSeek-R1 in house"])
    bought_or_rented(found["eight H200 bought"], found["eight H200 rented"])
    total, *months = results[list(STORIES).index("eight H200 bought")][len(RESULTS) :]
    three_in_one_budget(total, months)


def staff(found: Mapping[str, object]) -> None:
    """Serve 100 of 2 000 people at once with a replica of two GPUs, one more for headroom, and a spare: one HGX board."""
    assert (found["plan_gpu"], found["plan_way"], found["plan_gpus"]) == ("h200-sxm", BUY, 8)
    assert found["plan_capex"] == pytest.approx(EIGHT_H200_USD, abs=0.01)
    assert found["plan_cost_per_month"] == pytest.approx(EIGHT_H200_MONTH, abs=0.01)
    assert found["plan_cost_per_person_month"] == pytest.approx(EIGHT_H200_MONTH / 2000, abs=0.001)
    assert found["plan_speed_low"] >= 20
    asked = vram.plan(
        "llama-3.3-70b", people=2000, active=0.05, prompt_tokens=2500, output_tokens=500, precision="fp8",
        kv_precision="fp8", min_speed=20, gpus=["h200-sxm"], costs=True,
    )  # fmt: skip
    agrees(found, asked)
    assert asked.users == 100
    # One user's cache: 80 layers × 8 heads × 128 values × 2 × 1 byte × 3 000 tokens = 0.4915 GB.
    assert vram.estimate("llama-3.3-70b", context=3000, users=1, kv_precision="fp8").kv_bytes == 491_520_000


def retrieval(found: Mapping[str, object]) -> None:
    """Hold 40 users of 16 384 tokens with full boards of H100: at most half of the memory is left next to 41 GB of weights."""
    assert found["plan_gpu"] == "h100-sxm" and found["plan_gpus"] % 8 == 0
    asked = vram.plan(
        "qwen2.5-72b", users=40, prompt_tokens=16_000, output_tokens=384, precision="awq", kv_precision="fp8",
        gpus=["h100-sxm"], costs=True,
    )  # fmt: skip
    agrees(found, asked)
    assert found["plan_speed_low"] >= 10


def in_house(found: Mapping[str, object]) -> None:
    """Fit 688.6 GB of FP8 weights into one board of eight; the spare replica is a second one: twice the price."""
    assert (found["plan_way"], found["plan_gpus"], found["plan_replicas"]) == (BUY, 16, 2)
    assert found["plan_capex"] == pytest.approx(2 * EIGHT_H200_USD, abs=0.01)
    assert found["plan_cost_per_month"] == pytest.approx(2 * EIGHT_H200_MONTH, abs=0.01)
    # The index of the published files: 688 586 727 753 bytes with the draft layers, which serving leaves out.
    assert vram.estimate("deepseek-r1", context=6144, users=50).weights_bytes == pytest.approx(688.6e9, rel=0.03)


def bought_or_rented(bought: Mapping[str, object], rented: Mapping[str, object]) -> None:
    """Pay 413 400 USD at the start, or 46 206 a month; an API bills by the token."""
    assert (bought["plan_way"], rented["plan_way"]) == (BUY, RENT)
    assert bought["plan_capex"] == pytest.approx(EIGHT_H200_USD, abs=0.01)
    hourly = vram.plan("llama-3.3-70b", users=100, context=3000, gpus=["h200-sxm"]).options[0].costs.prices
    assert rented["plan_capex"] == 0
    assert rented["plan_cost_per_month"] == pytest.approx(
        rented["plan_gpus"] * 730 * hourly.on_demand_per_gpu_hour.usd, rel=1e-9
    )
    asked = vram.plan(
        "llama-3.3-70b", users=100, prompt_tokens=2500, output_tokens=500, gpus=["h200-sxm"], costs=True,
        assumptions={"api_prompt_usd_per_million": 0.6, "api_output_usd_per_million": 0.8},
    )  # fmt: skip
    outcome = asked.options[0].costs.outcome
    million = outcome["output_million"]  # 2 500 ÷ 500 = 5 prompt tokens for each output token
    assert outcome["api_month"] == pytest.approx(million * (5 * 0.6 + 0.8), rel=1e-9)
    output = asked.options[0].speed.expected.output_tokens_per_second
    assert million == pytest.approx(output * 0.4 * 730 * 3600 / 1e6, rel=1e-6)


def three_in_one_budget(total: float, months: list[float]) -> None:
    """Sum three models in the total line of Scenarios; each is bought on full boards, one of them of H100."""
    assert total == pytest.approx(sum(months), rel=1e-12)
    assert months[0] == pytest.approx(EIGHT_H200_MONTH, abs=0.01)
    assert months[2] == pytest.approx(2 * EIGHT_H200_MONTH, abs=0.01)


def agrees(found: Mapping[str, object], asked: vram.Plan) -> None:
    """Check that Plan and `vram plan` have the same best option at the same price."""
    best = asked.options[0]
    costs = best.costs
    assert found["plan_net_present_cost"] == pytest.approx(costs.net_present_cost, rel=1e-9)
    assert found["plan_cost_per_million_tokens"] == pytest.approx(costs.outcome["million_cost"], rel=1e-9)
    assert found["plan_speed_low"] == pytest.approx(best.speed.low.tokens_per_second_per_user, rel=1e-9)
