"""One question gets one answer, whichever interface it is put to: command line, API or cell function."""

from __future__ import annotations

import json
import random

import pytest

import vram
import vram_udf
from core import catalog

RANDOM = random.Random(13)
MODELS = [model.name for model in catalog.models() if model.spec.vocab_size is not None]
QUESTIONS = [
    (
        RANDOM.choice(MODELS),
        RANDOM.choice((2_048, 8_192, 32_768)),
        RANDOM.choice((1, 10, 100)),
        RANDOM.choice(("h100-sxm", "h200-sxm", "a100-sxm-80gb", "l40s", "mi300x", "rtx-4090", "dgx-spark")),
    )
    for _ in range(40)
]


@pytest.mark.parametrize(("model", "context", "users", "gpu"), QUESTIONS)
def test_with_nothing_but_defaults(model, context, users, gpu):
    estimate = vram.estimate(model, context=context, users=users)
    assert vram_udf.VRAM_WEIGHTS(model, unit="B") == estimate.weights_bytes
    assert vram_udf.VRAM_KV(model, context, users, unit="B") == estimate.kv_bytes
    assert vram_udf.VRAM_TOTAL(model, context, users, unit="B") == estimate.total_bytes
    options = vram.plan(model, users=users, context=context, gpus=[gpu], min_speed=None).options
    fewest = min((float(option.gpus) for option in options), default="#NUM!")
    assert vram_udf.VRAM_GPUS(model, context, users, gpu) == fewest
    for option in options[:3]:
        found = vram.capacity(model, gpu=gpu, tp=option.tp, pp=option.pp, context=context)
        assert found.max_users.expected == option.users_per_replica


@pytest.mark.parametrize("precision", ["shipped", "fp8", "awq", 2])
def test_every_precision_that_cells_know(precision):
    """ "shipped" is a name that each of them knows."""
    cells = vram_udf.VRAM_TOTAL("qwen3-32b", 8192, 4, precision, unit="B")
    assert vram.estimate("qwen3-32b", context=8192, users=4, precision=precision).total_bytes == cells
    fewest = min(
        option.gpus
        for option in vram.plan(
            "qwen3-32b", users=4, context=8192, gpus=["l4"], precision=precision, min_speed=None
        ).options
    )
    assert vram_udf.VRAM_GPUS("qwen3-32b", 8192, 4, "l4", precision) == fewest


def test_the_command_line_prints_what_the_api_returns(vram_command):
    arguments = ("--context", 8192, "--users", 30, "--json")
    for command, found in (
        ("estimate", vram.estimate("gpt-oss-120b", context=8192, users=30)),
        ("plan", vram.plan("gpt-oss-120b", context=8192, users=30)),
    ):
        status, out, err = vram_command(command, "gpt-oss-120b", *arguments)
        assert (status, err) == (0, "")
        assert json.loads(out).items() >= json.loads(json.dumps(found.as_dict())).items()


def test_a_model_of_which_only_the_size_is_known_is_planned_by_the_rule():
    """The article: 242 GB for one user on GPUs of 80 GB, four of them."""
    assert vram_udf.VRAM_GPUS("article-llama-70b", 32_000, 1, 80) == 4
    options = vram.plan("article-llama-70b", users=1, context=32_000, gpus=[80]).options
    assert min(option.gpus for option in options) == 4


def test_fine_tuning_at_every_interface(vram_command):
    status, out, _ = vram_command("train", "qwen3-32b", "--method", "qlora", "--gpus", 2, "--json")
    answer = json.loads(out)
    found = vram.train("qwen3-32b", method="qlora", gpus=2)
    assert (status, answer) == (0, json.loads(json.dumps(found.as_dict())))
    assert vram_udf.VRAM_TRAIN("qwen3-32b", "qlora", gpus=2) == found.total_bytes / 1e9
