"""What engines logged in public: single runs of many versions, models and GPUs (tests/golden/logged.csv)."""

from __future__ import annotations

import pytest

from core.engines import vllm
from core.engines.deployment import Device
from tools import logged_runs

FOUND = logged_runs.figures()

# Median and worst error that the product promises of runs like these; docs/accuracy.md has what they are.
PROMISED = {
    "weights": (0.003, 0.06),
    "GGUF file": (0.008, 0.05),  # publishers mix formats of their own
    "KV buffer": (0.0005, 0.002),
    "tokens of the logged memory": (0.001, 0.02),
    "concurrency of the logged memory": (0.001, 0.01),
    "peak activation": (0.002, 0.13),
    "KV cache memory": (0.005, 0.03),
}


def test_there_are_many_runs_of_every_engine():
    rows = {id(figure.row): figure.row["engine"] for figure in FOUND}
    counts = {engine: list(rows.values()).count(engine) for engine in set(rows.values())}
    assert counts["vllm"] >= 38
    assert counts["sglang"] >= 6
    assert counts["llama.cpp"] >= 20


@pytest.mark.parametrize("half", [0, 1], ids=["looked for", "checked"])
def test_the_errors_of_each_half_are_as_promised(half):
    errors = logged_runs.errors(logged_runs.halves(FOUND)[half])
    assert errors.keys() <= PROMISED.keys()
    for name, (_, median, worst) in errors.items():
        assert median <= PROMISED[name][0], name
        assert worst <= PROMISED[name][1], name


def test_budgets_are_within_the_stated_range():
    assert all(figure.in_range for figure in FOUND if figure.name == "KV cache memory")


@pytest.mark.parametrize(
    ("gpu", "mib"),
    [
        ("NVIDIA H100 80GB HBM3", 32),  # aten/src/ATen/cuda/CublasHandlePool.cpp: Hopper and Blackwell
        ("b200", 32),
        ("MI300X", 128),  # gfx94x and gfx95x
        ("RTX 3090", 8.125),  # ":4096:2:16:8"
        ("T4", 8.125),
    ],
)
def test_the_workspace_of_matrix_products(gpu, mib):
    assert vllm.cublas_bytes(Device(gpu, 0)) == mib * 2**20
