"""Test what the Scenarios sheet shows: answers next to inputs, on one screen and one page, and agreement with `vram plan`."""

from __future__ import annotations

import io

import openpyxl
import pytest

import vram
from core import catalog
from core.plan.demand import tokens_of
from core.plan.fleet import layout_title
from tests.workbook.planner_rows import FEW_SCENARIOS, row, small_planner
from workbook.labels import Labels
from workbook.planner_reader import Planner
from workbook.recalculation import computed_values
from workbook.scenario import FIELDS, field_of_header, parse_scenario
from workbook.scenario_csv import CsvScenarios
from workbook.sheets import plan, scenarios, sensitivity

pytestmark = pytest.mark.slow

# Arial 11, the font of the sheets, has digits of 8 pixels: ECMA-376 part 1, 18.3.1.13.
PIXELS_OF_A_DIGIT, MOST_PIXELS = 8, 1480


def values_of(rows: list[dict[str, object]]) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Return the total line and the rows of a planner's Scenarios: column key → value."""
    sheet = computed_values(small_planner(rows))[Labels("en")("sheet.scenarios")]
    numbers = scenarios.TOTAL_ROW, *range(scenarios.FIRST_ROW, scenarios.FIRST_ROW + len(rows))
    keys = (
        "total",
        "deployable",
        "best_gpus",
        "layout",
        "tokens_per_s_per_user",
        "cost_month",
        "cost_user_month",
        "state",
    )
    total, *found = ({key: sheet.get(f"{scenarios.letter(key)}{number}") for key in keys} for number in numbers)
    return total, found


def test_a_planner_with_one_scenario():
    """One row is a whole planner: it can be chosen, swept, summed and read."""
    one = row("only one", "llama-3.1-8b", engine="vllm", users=20, gpu="l40s")
    total, (found,) = values_of([one])
    # 8.03e9 parameters × 2 bytes + 20 × 8192 tokens × 131 072 bytes, and a tenth: (16.060522 + 21.474836) × 1.1.
    assert found["total"] == pytest.approx((16.060522496 + 21.47483648) * 1.1, rel=1e-9)
    assert found["state"] == "OK" and total["state"] == "1 of 1, 0 out"
    for key in ("deployable", "best_gpus", "cost_month", "cost_user_month"):
        assert total[key] == found[key] > 0
    assert found["cost_user_month"] == found["cost_month"] / 20


def test_owned_gpus_are_deducted_once():
    """Two scenarios, and eight GPUs that are there: only the order of the one that Plan shows is smaller."""
    rows = [row(name, "llama-3.1-70b", engine="vllm", users=50, gpu="h100-sxm") for name in ("chosen", "other")]
    book = openpyxl.load_workbook(io.BytesIO(small_planner(rows)))
    cells = plan.input_cells(Labels("en"))
    for name, value in (("plan_scenario", "chosen"), ("plan_way_wanted", "buy"), ("plan_owned_gpus", 8)):
        sheet, address = cells[name]
        book[sheet][address] = value
    content = io.BytesIO()
    book.save(content)
    sheet = computed_values(content.getvalue())["Scenarios"]

    def column(key: str) -> list[float]:
        rows = (scenarios.TOTAL_ROW, scenarios.FIRST_ROW, scenarios.FIRST_ROW + 1)
        return [sheet[f"{scenarios.letter(key)}{number}"] for number in rows]

    assert column("deployable")[1] == column("deployable")[2]
    for key in ("best_gpus", "start_cash"):
        total, chosen, other = column(key)
        assert 0 <= chosen < other and total == pytest.approx(chosen + other, rel=1e-12)
    _, chosen, other = column("best_gpus")
    assert other - chosen == 8


@pytest.mark.parametrize("output_tokens", [None, 4000])
def test_rows_agree_with_vram_plan(output_tokens):
    """The row of the same GPU and layout in `vram plan --gpu` has the same GPUs, speed and cost."""
    asked = [
        ("llama-3.1-70b", "h100-sxm", {"users": 50, "precision": "fp8", "kv_precision": "fp8", "context": 32_768}),
        ("llama-3.1-8b", "l40s", {"users": 100, "precision": "fp16", "context": 8192}),
        ("mixtral-8x7b", "h200-sxm", {"users": 300, "precision": "fp16", "context": 16_384}),
        ("deepseek-v3", "h200-sxm", {"users": 200, "precision": "shipped", "context": 32_768}),
    ]
    rows = [
        row(model, model, engine="vllm", gpu=gpu, output_tokens=output_tokens, **given) for model, gpu, given in asked
    ]
    capped = 0
    for (model, gpu, given), found in zip(asked, values_of(rows)[1]):
        plan = vram.plan(model, gpus=[gpu], output_tokens=output_tokens, **given)
        (option,) = (one for one in plan.options if layout_title(one.tp, one.pp) == found["layout"])
        costs, money = option.costs, option.costs.figures
        bought = bool(money["buys"])
        assert found["deployable"] == option.gpus
        assert found["best_gpus"] == (money["order"] if bought else money["rented"])
        assert found["cost_month"] == pytest.approx(money["own_month" if bought else "rent_month"], rel=1e-9)
        assert found["tokens_per_s_per_user"] == pytest.approx(
            option.speed.expected.tokens_per_second_per_user, rel=1e-9
        )
        assert costs.net_present_cost > 0
        memory_alone = parse_scenario(
            {"model": model, "gpu": gpu, "kv_precision": "fp16", **given}
        )[0].smallest  # fmt: skip
        capped += memory_alone.gpus < option.gpus
    assert capped > 0  # the wanted speed takes more GPUs than the memory, in at least one row


def test_inputs_and_answers_are_on_one_screen():
    ws = openpyxl.load_workbook(io.BytesIO(small_planner()))["Scenarios"]
    last = openpyxl.utils.column_index_from_string(scenarios.letter("state"))
    letters = [openpyxl.utils.get_column_letter(number) for number in range(1, last + 1)]
    assert sum(ws.column_dimensions[letter].width for letter in letters) * PIXELS_OF_A_DIGIT <= MOST_PIXELS
    headings = [ws[f"{letter}{scenarios.HEADER_ROW}"].value for letter in letters]
    usual = [Labels("en")(field.label) for field in FIELDS if not field.is_rare]
    assert headings[: len(usual)] == usual
    assert (
        ws.print_area
        == f"'Scenarios'!$A$1:${letters[-1]}${ws.tables['Scenarios'].ref.split(':')[1].lstrip('ABCDEFGHIJKLMNOPQRSTUVWXYZ')}"
    )
    assert not ws._charts and ws.tables["Scenarios"].autoFilter.ref == ws.tables["Scenarios"].ref
    assert not ws.protection.sheet  # so that the table grows, sorts and filters
    assert ws.freeze_panes == f"B{scenarios.FIRST_ROW}"


def test_wrong_cells_are_coloured_where_a_check_says_so():
    ws = openpyxl.load_workbook(io.BytesIO(small_planner()))["Scenarios"]
    rules = {str(cells.sqref): [rule.formula[0] for rule in cells.rules] for cells in ws.conditional_formatting}
    for field in FIELDS:
        if field.problem:
            letter = scenarios.letter(field.column)
            (formula,) = rules[f"{letter}7:{letter}{6 + FEW_SCENARIOS}"]
            assert f"${scenarios.letter(f'check_{field.column}')}7=0" in formula


class TestOutputTokens:
    def test_a_csv_file_may_have_it(self, tmp_path):
        path = tmp_path / "some.csv"
        lines = "model,context,gpu,output_tokens\nllama-3-8b,8192,h100-sxm,500\nllama-3-8b,8192,h100-sxm,\n"
        path.write_text(lines + "llama-3-8b,8192,h100-sxm,8192\nllama-3-8b,8192,h100-sxm,0\n")
        given, blank, long, none = CsvScenarios(path).given_rows()
        assert given.scenario.output_tokens == 500 and given.scenario.request_tokens == tokens_of(8192, None, 500)
        assert blank.scenario.output_tokens is None and blank.scenario.request_tokens == tokens_of(8192)
        assert [problem.field for row in (long, none) for problem in row.problems] == ["output_tokens"] * 2

    def test_a_file_without_it_takes_the_default(self, tmp_path):
        path = tmp_path / "old.csv"
        path.write_text("model,context,gpu\nllama-3-8b,8192,h100-sxm\n")
        (found,) = CsvScenarios(path).given_rows()
        assert found.scenario.output_tokens is None

    def test_a_filled_planner_carries_it(self, tmp_path):
        path = tmp_path / "planner.xlsx"
        path.write_bytes(small_planner([row("one", "llama-3.1-8b", output_tokens=700)]))
        (found,) = Planner(path)
        assert found.scenario.output_tokens == 700

    def test_the_plan_takes_it_unless_it_has_its_own(self):
        values = computed_values(small_planner([row("one", "llama-3.1-8b", engine="vllm", output_tokens=700)]))
        cells = sensitivity.fact_cells()
        assert values["Sensitivity"][cells["output_given"]] == 700
        names = openpyxl.load_workbook(io.BytesIO(small_planner([row("one", "llama-3.1-8b")]))).defined_names
        assert "chosen_output_tokens" in names
        assert "plan_output_tokens" in plan.input_cells(Labels("en"))


def test_former_headings_are_read(tmp_path):
    """A planner of a former version: other headings, no column of output tokens, #N/A for what is missing."""
    for heading, field in (("Weights precision", "precision"), ("KV 精度", "kv_precision"), ("Weights", "precision")):
        assert field_of_header(heading) == field
    book = openpyxl.Workbook()
    ws = book.active
    ws.append([
        "Model", "Context (tokens)", "Users", "Weights precision", "KV precision", "Engine", "Overhead (%)", "GPU",
        "Layout of a replica", "Replicas", "GPUs to deploy", "Nodes",
    ])  # fmt: skip
    ws.append(["llama-3.1-8b", 8192, 100, "fp16", "fp16", "vllm", 0.1, "l40s", "TP 4", 1, 5, 1])
    ws.append(["deepseek-v3", 8192, 100, "shipped", "fp16", "vllm", 0.1, "l4", "#N/A", "#N/A", "#N/A", "#N/A"])
    for cells in ws.iter_rows(min_row=2, min_col=9):
        for cell in cells:
            cell.data_type = "e" if cell.value == "#N/A" else cell.data_type
    path = tmp_path / "former.xlsx"
    book.save(path)
    fits, not_at_all = Planner(path)
    assert {
        difference.result: difference.stored for difference in fits.differences if difference.result == "deploy"
    } == {"deploy": 5}
    assert fits.scenario.smallest.gpus == 3 and catalog.gpu("l40s") == fits.scenario.gpu
    assert {difference.expected for difference in not_at_all.differences} == {"–"}  # constants, where formulas were
