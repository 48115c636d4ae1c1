"""Test that a field of a scenario is declared in one place: a field added to `FIELDS` is everywhere.

The list is extended in a process of its own, before any other module reads it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest

from core import catalog
from core.checks import LIMITS
from core.engines.served import DEFAULT_ACCEPTANCE, DEFAULT_LORA_RANK
from core.model.own_model import own_model
from core.plan import defaults
from core.plan.serving import RULE, default_engine
from tests.paths import ROOT
from workbook import scenario
from workbook.labels import LANGUAGES, Labels

pytestmark = pytest.mark.slow

NAME, LABEL, DEFAULT, GIVEN = "rack_power_w", "gpus.tdp", 3, 7


def look_everywhere(folder: Path) -> dict[str, object]:
    """Add the field and return what each reader, sheet and command knows of it."""
    scenario.FIELDS += (scenario.Field(NAME, label=LABEL, unit="unit.gb", limits=LIMITS["users"], default=DEFAULT),)

    from click.testing import CliRunner

    from tests.workbook.planner_rows import few
    from vram.cli.export import export_help
    from vram.cli.read import read
    from workbook import template
    from workbook.export import workbook as exported
    from workbook.planner_reader import Planner
    from workbook.scenario_csv import CsvScenarios

    lines = [f"model,context,gpu,{NAME}", f"llama-3-8b,8192,h100-sxm,{GIVEN}", "llama-3-8b,8192,h100-sxm,", ""]
    path = folder / "scenarios.csv"
    path.write_text("\n".join(lines))
    found: dict[str, object] = {"csv": [row.scenario.value(NAME) for row in CsvScenarios(path).given_rows()]}
    for lang in LANGUAGES:
        path.write_text("\n".join([lines[0].replace(NAME, Labels(lang)(LABEL)), lines[1]]))
        found[f"csv, {lang}"] = [row.scenario.value(NAME) for row in CsvScenarios(path).given_rows()]
    path.write_text("\n".join([lines[0], lines[1].replace(str(GIVEN), "0")]))
    found["csv, wrong"] = [problem.field for row in CsvScenarios(path).given_rows() for problem in row.problems]

    planner = folder / "planner.xlsx"
    with few():
        planner.write_bytes(template.without_values("en"))
    cells = openpyxl.load_workbook(planner)["Scenarios"].iter_rows(min_row=6, max_row=7, values_only=True)
    header, first = cells
    found["sheet"] = first[header.index(Labels("en")(LABEL))]
    found["planner"] = next(iter(Planner(planner))).scenario.value(NAME)
    with few():
        answer = CliRunner().invoke(read, [str(planner), "--json"])
    found["read"] = json.loads(answer.output)["rows"][0][NAME]
    found["help"] = f", {NAME}," in export_help() and f"{NAME} {DEFAULT}" in export_help()

    exported.MOST_PAGES = 1  # so that the other rows are on the list
    path.write_text("\n".join(lines))
    exported.export_scenarios(folder / "out.xlsx", CsvScenarios(path), "en")
    sheets = openpyxl.load_workbook(folder / "out.xlsx", data_only=True).worksheets
    for place, ws in (("index", sheets[0]), ("list", sheets[-1])):
        rows = [[*row] for row in ws.iter_rows(values_only=True)]
        start, column = next(
            (i, row.index(Labels("en")(LABEL))) for i, row in enumerate(rows) if Labels("en")(LABEL) in row
        )
        found[place] = rows[start + 1][column]
    found["page"] = next(row[1] for row in sheets[1].iter_rows(values_only=True) if row[0] == Labels("en")(LABEL))
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What `look_everywhere` returns in a separate process."""
    code = "import json, pathlib, sys; from tests.workbook.test_fields import look_everywhere; "
    code += "print(json.dumps(look_everywhere(pathlib.Path(sys.argv[1]))))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path_factory.mktemp("fields"))],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("csv", [GIVEN, DEFAULT]),
        ("csv, en", [GIVEN]),
        ("csv, zh", [GIVEN]),
        ("csv, wrong", [NAME]),
        ("sheet", DEFAULT),
        ("planner", DEFAULT),
        ("read", DEFAULT),
        ("help", True),
        ("index", GIVEN),
        ("page", GIVEN),
        ("list", DEFAULT),
    ],
)
def test_a_new_field_is_everywhere(found, place, value):
    assert found[place] == value


def test_the_defaults_are_those_of_every_interface():
    known = {field.name: field.default for field in scenario.FIELDS if field.default is not None}
    assert known == {
        "users": defaults.USERS, "allocation": "reserved", "precision": defaults.PRECISION,
        "kv_precision": defaults.KV_PRECISION, "engine": defaults.ENGINE, "overhead": 0.1,
        "attention_dp": 1, "mtp_tokens": 0, "acceptance": DEFAULT_ACCEPTANCE, "shared_tokens": 0, "lora_adapters": 0, "lora_rank": DEFAULT_LORA_RANK,
    }  # fmt: skip
    by_size = own_model("own", parameters=7 * 10**9, num_hidden_layers=32, num_key_value_heads=8, head_dim=128)
    assert default_engine(by_size) == default_engine(catalog.model("article-llama-70b").spec) == RULE
    assert default_engine(catalog.model("llama-3-8b").spec) == defaults.ENGINE
