"""The comparison of computed speeds with measurements and with other calculators, without any of them installed."""

from __future__ import annotations

import math
import re

import pytest

from benchmarks import speed
from core.catalog.speeds import constant_values, measured_speeds
from tests.paths import ROOT
from tools.peers import ask_speed


@pytest.fixture(scope="module")
def errors():
    cases, _ = speed.cases_of(row for row in measured_speeds() if row.set in speed.STEADY_SETS)
    return {case: speed.errors_of(case, constant_values()) for case in cases}


def test_a_peer_is_compared_on_the_rows_that_it_answers(errors, monkeypatch):
    clear = speed.clear_rows(errors)

    def answers(python, peer, asked):
        assert len(asked) == len(clear)
        assert {case.expert_parallel for case in asked} == {False}
        refused = "ValueError: no database: MoE data missing for MoeKey { 1 }"
        return "1.0", [
            refused,
            *([2 * value if value else None for value in case.measured] for case in list(clear)[1:]),
        ]

    monkeypatch.setattr(speed, "speeds_of_peer", answers)
    monkeypatch.setattr(ask_speed, "PEERS", {"one": None, "two, MODE": None})
    lines = speed.peers_part("python", errors, set())
    logs = [found[0] for case, found in list(clear.items())[1:] if case.measured[0]]
    ours = f"{speed._median_and_most(logs)} | {speed._bias(logs)}"
    assert f"| two 1.0, MODE | tokens/s per user | {len(logs)} | 100.0% | 100.0% | +100.0% | {ours} |" in lines
    assert f"* one 1.0 does not answer 1 of {len(clear)} rows. Its reasons (rows): MoE data missing (1)." in lines


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ("PerfDataNotAvailableError: perf database error: MoE data missing for MoeKey { 1 }", "MoE data missing"),
        ("RuntimeError: OOM: the model 'm' does not fit", "OOM"),
        ("NotKnown: b300 is not known", "b300 is not known"),
    ],
)
def test_a_refusal_is_counted_by_what_does_not_name_the_row(refusal, reason):
    assert speed.refusal_reason(refusal) == reason


def test_an_answer_is_figures_or_the_reason_why_there_are_none(monkeypatch):
    def fails(case):
        raise KeyError(case.gpu)

    case = ask_speed.Case("m", 1, "bf16", "h100-sxm", "vllm", 1, False, 1, 1, 1)
    found = ask_speed.Speed(1.0, 2.0, None)
    monkeypatch.setattr(ask_speed, "PEERS", {"fails": fails, "answers": lambda case: found})
    assert ask_speed.answer("fails", case) == "KeyError: 'h100-sxm'"
    assert ask_speed.answer("answers", case) == found
    with pytest.raises(ask_speed.NotKnown, match="'m' is not known"):
        ask_speed.system_of(case)


def test_the_order_of_layouts_is_right_without_errors(errors):
    exact = dict.fromkeys(errors, (0.0, 0.0, 0.0))
    right, pairs = speed.right_order(exact, 0, same_gpu=False)
    assert right == pairs > 0
    turned = {case: tuple(-2 * math.log(value) if value else None for value in case.measured) for case in errors}
    assert speed.right_order(turned, 0, same_gpu=False) == (0, pairs)


def test_the_page_has_every_part_and_the_plot():
    page = speed.DOCUMENT.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert headings[:3] == ["In one minute", "Drafts and shared prompts", "What is not modelled"]
    for name in ("engine", "GPU", "model", "class", "users of a replica", "order of two layouts by"):
        assert f"\n| {name} | " in page
    assert "promise 20 tokens/s per user" in page
    assert speed.PLOT.stat().st_size < 150_000


def test_the_peers_that_were_asked_are_the_pinned_ones():
    page = speed.DOCUMENT.read_text(encoding="utf-8")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for peer in ask_speed.PEERS:
        name, *mode = peer.split(", ")
        version = next(line.removeprefix(f"{name}==") for line in pins if line.startswith(f"{name}=="))
        assert f"| {', '.join([f'{name} {version}', *mode])} | tokens/s per user |" in page, (
            "run make speed SPEED_ROWS=…"
        )
