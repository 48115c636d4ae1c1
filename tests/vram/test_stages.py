"""`--stages`: GPUs that differ, in the command and in the API."""

from __future__ import annotations

import json

import pytest

import vram as package


def test_the_answer_names_the_stages_and_the_one_that_decides(vram):
    arguments = ("capacity", "qwen3-32b", "--precision", "fp8", "--context", 32768)
    status, out, _ = vram(*arguments, "--stages", "4090:40, 3090:24")
    assert status == 0 and out.startswith("qwen3-32b on rtx-4090 (40 layers) + rtx-3090 (24 layers), TP 1 × PP 2, vllm")
    assert "GiB per GPU of stage 1" in out
    _, out, _ = vram(*arguments, "--stages", "rtx-3090:24,rtx-4090:40", "--json")
    found = json.loads(out)
    assert found["stages"] == [{"gpu": "rtx-3090", "layers": 24}, {"gpu": "rtx-4090", "layers": 40}]
    assert (found["stage"], found["gpu"], found["pp"], found["gpus"]) == (2, "rtx-4090", 2, 2)
    assert found["max_users"] == package.capacity(
        "qwen3-32b", precision="fp8", context=32768, stages="rtx-3090:24,rtx-4090:40"
    ).max_users.expected  # fmt: skip


def test_tensor_parallel_stages_have_several_of_their_gpus():
    mixed = package.capacity("llama-3.1-70b", stages="a100-sxm-80gb:48,l40s:32", tp=4, context=8192)
    assert mixed.stages == (("a100-sxm-80gb", 48), ("l40s", 32)) and mixed.max_users.expected > 0
    alone = package.capacity("llama-3.1-70b", gpu="l40s", pp=2, tp=4, context=8192)
    assert mixed.kv_tokens.expected > alone.kv_tokens.expected


def test_layers_are_even_under_vllm_and_by_memory_under_llama_cpp():
    assert package.capacity("qwen3-32b", stages="5090,4060", precision="awq", context=1024).stages == (
        ("rtx-5090", 32), ("rtx-4060", 32),
    )  # fmt: skip
    found = package.capacity("qwen3-32b", stages="5090,4060", precision="q4_k_m", context=1024, engine="llama.cpp")
    large, small = (package.capacity("qwen3-8b", gpu=gpu, context=1).gpu_memory_bytes for gpu in ("5090", "4060"))
    first = int(65 * large / (large + small)) + 1  # of 65 places, of the layers and the output, those below its share
    assert found.stages == (("rtx-5090", first), ("rtx-4060", 64 - first))
    assert found.most_gpu_layers == 65


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"stages": "rtx-4090:40,rtx-3090"}, "stages: 'rtx-4090:40,rtx-3090' has layers for some of the stages only"),
        ({"stages": "rtx-4090:40,rtx-3090:20"}, "stages: 40 \\+ 20 layers are not the 64 of qwen3-32b"),
        ({"stages": "rtx-4090:x"}, "stages: 'x' is not a number of layers"),
        ({"stages": "rtx-4090:0,rtx-3090:64"}, "stages: '0' is not a number of layers"),
        ({"stages": "rtx-4090,"}, "stages: '' names no GPU"),
        ({"stages": 3}, "stages: 3 is not text"),
        ({"stages": "no-such-gpu,rtx-4090"}, "'no-such-gpu' is not known"),
        ({"stages": "4090,3090", "gpu": "4090"}, "stages: gpu, gpu_memory_gib or pp is given too"),
        ({"stages": "4090,3090", "pp": 2}, "stages: gpu, gpu_memory_gib or pp is given too"),
        ({"stages": "4090,3090", "engine": "sglang"}, "stages: GPUs that differ are not modelled under sglang"),
        ({"stages": "4090:40,3090:24", "engine": "llama.cpp", "gpu_layers": 9}, "gpu_layers: stages says how many"),
        ({"stages": "h100-1g.10gb,h100"}, "a process sees only one MIG slice"),
    ],
)
def test_stages_that_are_refused(given, problem):
    with pytest.raises(ValueError, match=problem):
        package.capacity("qwen3-32b", context=8192, **given)
