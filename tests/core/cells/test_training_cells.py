"""Test the cell function for fine-tuning: its defaults, its results, and that it agrees with `vram train`."""

from __future__ import annotations

import pytest

import vram
from vram_udf import VRAM_TRAIN

LLAMA = "llama-3.1-8b"
PARTS = ("weights", "gradients", "optimizer", "gathered", "activations", "step", "context")


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_with_nothing_but_defaults(method):
    assert VRAM_TRAIN(LLAMA, method) == vram.train(LLAMA, method=method).total_bytes / 1e9


def test_every_result_is_that_of_the_api():
    found = vram.train(LLAMA, method="lora", sequence=4096, batch=2, rank=16, zero=2, gpus=4)
    expected = {f"{part}": getattr(found, f"{part}_bytes") / 1e9 for part in PARTS} | {
        "total": found.total_bytes / 1e9,
        "ALL_GPUS": found.all_gpus_bytes / 1e9,
        "trainable": found.trainable_parameters,
    }
    assert {result: VRAM_TRAIN(LLAMA, "LoRA", 4096, 2, 16, 2, 4, result) for result in expected} == expected


def test_grids_spill():
    grid = VRAM_TRAIN(LLAMA, [["full"], ["lora"], ["qlora"]], gpus=[[1, 2, 8]])
    assert all(row == sorted(row, reverse=True) for row in grid)
    assert [row[0] for row in grid] == sorted((row[0] for row in grid), reverse=True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((LLAMA, "full", 0), "#NUM!"),
        ((LLAMA, "full", 2048, 1.5), "#NUM!"),
        ((LLAMA, "full", 2048, 1, 64, 4), "#NUM!"),
        ((LLAMA, "full", "long"), "#VALUE!"),
        ((LLAMA, None), "#VALUE!"),
        ((LLAMA, "dora"), "#N/A"),
        (("llama", "lora"), "#N/A"),
        ((LLAMA, "lora", None, None, None, None, None, "fewest"), "#N/A"),
        (([[70, 80, 8196]], "full"), "#VALUE!"),  # only the size is known
        ((LLAMA, "lora", "#REF!"), "#REF!"),
    ],
)
def test_invalid_arguments_give_excel_errors(arguments, error):
    assert VRAM_TRAIN(*arguments) == error
