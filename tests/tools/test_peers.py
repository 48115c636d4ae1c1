"""The comparison with other calculators, without any of them installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.paths import ROOT
from tools.peers import ask, cases, table
from tools.peers.ask import Case, Estimate, Sizes
from tools.peers.table import Answer, Errors, Peer

pytestmark = pytest.mark.slow

RIGHT = Sizes(1000.0, 200.0)


@pytest.mark.parametrize(
    ("found", "written", "right"),
    [
        (Sizes(1000, 200), "+0.0% / +0.0%", (True, True)),
        (Sizes(999.9, 200.2), "+0.0% / +0.1%", (True, True)),
        (Sizes(1005, 199), "+0.5% / -0.5%", (True, True)),  # the bound itself
        (Sizes(1006, 198.8), "+0.6% / -0.6%", (False, False)),
        (Sizes(1250, 1600), "+25.0% / +700.0%", (False, False)),
        (Sizes(None, 200), "– / +0.0%", (False, True)),
        (Sizes(0, None), "-100.0% / –", (False, False)),
    ],
)
def test_errors_are_relative_to_what_is_right(found, written, right):
    errors = table.errors(found, RIGHT)
    assert str(errors) == written
    assert errors.right == right


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        ([Errors(0.0, 0.0), Errors(0.0, 7.0), Errors(-0.2, 0.0)], ("2 of 3", "2 of 3", "1 of 3")),
        ([Errors(0.0, 0.0), Errors(None, None)], ("1 of 2", "1 of 2", "1 of 2")),  # one not understood
        ([Errors(None, 0.0), Errors(None, 9.0)], ("–", "1 of 2", "–")),  # one that never gives weights
    ],
)
def test_a_calculators_row_counts_what_is_right(found, counts):
    assert table.summary("one 1.0", "how", found) == ("one 1.0", *counts, "how")


def test_each_model_has_a_cell_for_each_calculator():
    nine = cases.nine_models()[:2]
    first, second = (known.case.model for known in nine)
    doubled = Sizes(*(2 * size for size in nine[0].right))
    nothing = Sizes(None, None)
    peers = [
        Peer("sparkfit", "1", "2026-01-01", {first: Answer(doubled), second: Answer(nothing, "KeyError: 'x'")}),
        Peer("llm-sizer", "2", "2026-01-01", {first: Answer(nothing, "not built in")}),
    ]
    rows = table.document_parts(nine, [], peers)["nine models"].splitlines()
    assert f"| {first} | +0.0% / +0.0% | +100.0% / +100.0% | not built in |" in rows
    assert f"| {second} | +0.0% / +0.0% | not understood | not asked |" in rows


def test_an_answer_is_sizes_or_the_reason_why_there_are_none(monkeypatch):
    def fails(case, folder):
        raise KeyError(f"{folder} lacks hidden_size")

    def gives_up(case, folder):
        raise SystemExit("unknown architecture")

    def reads(case, folder):
        text = Path(folder, "config.json").read_text(encoding="utf-8")
        return Estimate(lambda: len(text), lambda found: Sizes(found, None))

    case = Case("m", {"a": 1}, "bf16", 1, 1)
    found = {}
    for adapter in (fails, gives_up, reads):
        monkeypatch.setitem(ask.PEERS, adapter.__name__, adapter)
        found[adapter.__name__] = ask.answer(adapter.__name__, case)
    assert found["fails"] == {"not_understood": "KeyError: ' lacks hidden_size'"}
    assert found["gives_up"] == {"not_understood": "SystemExit: unknown architecture"}
    assert found["reads"] == {"weights_bytes": 8, "kv_bytes": None, "not_understood": ""}


def test_the_stored_answers_are_of_the_pinned_calculators():
    pinned = dict(
        re.findall(r"^([\w.-]+)==([\d.]+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    stored = {peer.name: peer.version for peer in table.peers()}
    assert stored == {name: pinned[name] for name in ask.PEERS}, "run make peers"
    assert stored.keys() == table.HOW_ASKED.keys()
