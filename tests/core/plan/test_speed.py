"""Speed: worked by hand, laws for any load and GPU, and public measurements."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.utils import get_column_letter

from core import catalog
from core.catalog.kernels import check_kind, kind_of_format, rate_of_kind
from core.catalog.speeds import constant_values, constants, measured_speeds, nearest_measurement
from core.engines import llama_cpp, sglang, vllm
from core.engines.capacity import Count
from core.engines.parallelism import weights_bytes_per_gpu
from core.errors import OutOfRangeError, PlannerError, UnsupportedModelError
from core.plan.fleet import Service
from core.plan.serving import service_of
from core.plan.speed import TENSORRT_LLM_ENGINE, Load, inputs_of, speed, users_at_speed, users_at_wanted_speed
from core.plan.speed_figures import attention_figures, attention_groups, served_format, weight_figures, weight_row
from core.plan.speed_links import FABRIC, NODES, PCIE, link_of
from core.plan.speed_terms import ATTENTION, DRAFTS, FAST, LOAD, PACE, SPEED, WEIGHTS
from core.plan.terms import Terms, spreadsheet_formula
from tests.spreadsheets import ironcalc_program, libreoffice

FP16, FP8 = catalog.precision("kv_precision", "fp16"), catalog.precision("kv_precision", "fp8")
ENGINES = {
    "vllm": vllm.ENGINE, "vllm-ascend": vllm.ENGINE, "sglang": sglang.ENGINE, "tensorrt-llm": TENSORRT_LLM_ENGINE,
    "llama.cpp": llama_cpp.ENGINE, "ollama/llama.cpp": llama_cpp.ENGINE,
}  # fmt: skip
CHAT = Load(users=50, prompt_tokens=2000, output_tokens=500)
ALL_TERMS = Terms(*WEIGHTS, *ATTENTION, *DRAFTS, *PACE, *FAST, *LOAD)


def service(name: str, precision: object = "shipped", engine: str = "vllm", **settings) -> Service:
    spec = catalog.model(name).spec
    return service_of(spec, catalog.weights_precision(precision), FP16, None, engine=ENGINES[engine], **settings)


def gpu(name: str):
    return catalog.gpu(name)


# ---- figures by hand -------------------------------------------------------------------------------------


def test_what_a_token_of_a_dense_model_reads_and_computes():
    """Llama-3.1-8B: 8 030 261 248 parameters, less the embedding of 128 256 × 4096, in 16 bits, at 989 TFLOPS."""
    read = 8_030_261_248 - 128_256 * 4096
    found = weight_figures(catalog.model("llama-3.1-8b").spec, None, gpu("h100"), "vllm", 1)
    assert found["dense_bytes"] == 2 * read
    matrices = read - 65 * 4096  # two norms in each of 32 layers, and the last, are no matrices
    assert found["dense_peak_s"] == pytest.approx(2 * matrices / 989e12)
    assert found["dense_peak_s"] - found["prompt_peak_s"] == pytest.approx(2 * 128_256 * 4096 / 989e12)
    assert [found[name] for name in ("expert_bytes", "untouched", "kernels", "all_reduces")] == [0, 0, 32 * 9, 0]
    halved = weight_figures(catalog.model("llama-3.1-8b").spec, None, gpu("h100"), "vllm", 2)
    assert halved["dense_bytes"] == pytest.approx(found["dense_bytes"] / 2, rel=0.001)  # norms are not split
    assert halved["all_reduces"] == 64


def test_experts_are_read_as_far_as_tokens_select_them():
    """Mixtral-8x7B: 8 experts in each of 32 layers, 2 a token, 3 matrices of 4096 × 14 336."""
    found = weight_figures(catalog.model("mixtral-8x7b").spec, None, gpu("h100"), "vllm", 1)
    experts = 32 * 8 * 3 * 4096 * 14_336
    assert found["expert_bytes"] == 2 * experts
    assert found["expert_peak_s"] == pytest.approx(2 * experts / 4 / 989e12)
    assert found["untouched"] == 0.75
    terms = _terms(service("mixtral-8x7b"), gpu("h100"), replace(CHAT, users=2), tp=2)
    assert terms["touched"] == pytest.approx(1 - 0.75**2)


def test_attention_by_kind():
    llama = attention_figures(catalog.model("llama-3.1-8b").spec, FP16, 1, 1000, 1000)
    assert llama["cache_bytes"] == 131_072 * 1000
    assert llama["attention_flops"] == 32 * 4 * 32 * 128 * 1000
    assert llama["prompt_attention_flops"] == llama["attention_flops"] * 1000 / 2
    split = attention_figures(catalog.model("llama-3.1-8b").spec, FP8, 8, 1000, 1000)
    assert (split["cache_bytes"], split["attention_flops"]) == (131_072 * 1000 / 16, llama["attention_flops"] / 8)
    latent = attention_figures(catalog.model("deepseek-r1").spec, FP16, 8, 1000, 1000)
    assert latent["cache_bytes"] == 70_272 * 1000  # whole on every rank
    assert latent["attention_flops"] == 61 * 2 * 16 * (2 * 512 + 64) * 1000
    assert latent["prompt_attention_flops"] == 61 * 2 * 16 * (128 + 64 + 128) * 1000 * 1000 / 2
    windows = [
        attention_figures(catalog.model("gpt-oss-120b").spec, FP16, 1, n, 1000)["cache_bytes"] for n in (10**4, 10**5)
    ]
    assert windows[1] - windows[0] == 36_864 * 90_000  # only every second layer grows
    states = [
        attention_figures(catalog.model("qwen3-next-80b-a3b").spec, FP16, 1, n, 1000)["cache_bytes"] for n in (1, 1001)
    ]
    assert states[1] - states[0] == 24_576 * 1000
    assert states[0] > 2 * 70e6  # the states of 36 layers are read and written
    sparse = [
        attention_figures(catalog.model("deepseek-v3.2").spec, FP16, 8, n, 1000)["cache_bytes"] for n in (4096, 8192)
    ]
    assert sparse[1] - sparse[0] == 61 * 132 * 4096  # past 2048 tokens only the index grows


def test_attention_over_compressed_tokens_and_layers_without_attention():
    """DeepSeek-V4: each layer reads its window, and one vector for every few tokens."""
    model = catalog.model("deepseek-v4-flash").spec
    near, far = (attention_figures(model, FP16, 8, n, 100) for n in (100_000, 200_000))
    assert 0 < far["cache_bytes"] - near["cache_bytes"] < 61 * 2 * 512 * 100_000 / 2
    assert 1 < far["attention_flops"] / near["attention_flops"] < 2
    assert attention_figures(model, FP16, 8, 100, 10_000)["prompt_attention_flops"] > 0
    # Nemotron-H: most layers are halves, a mixer or a feed-forward block, so there is one all-reduce each.
    hybrid = catalog.model("nemotron-h-8b").spec
    assert attention_figures(hybrid, FP16, 1, 1000, 100)["cache_bytes"] > 0
    found = weight_figures(hybrid, None, gpu("h100"), "vllm", 2)
    assert found["all_reduces"] == hybrid.num_hidden_layers


def _terms(served: Service, on, load: Load, tp: int = 1, pp: int = 1) -> dict:
    return dict(speed(served, on, load, tp=tp, pp=pp).terms)


def test_one_user_of_a_dense_model_by_hand():
    """A step of Llama-3.1-70B on 4 H100: weights and cache over the bandwidth, kernels, all-reduces."""
    used = constant_values()
    load = Load(users=1, prompt_tokens=1000, output_tokens=100)
    found = _terms(service("llama-3.1-70b"), gpu("h100"), load, tp=4)
    weights = weight_figures(catalog.model("llama-3.1-70b").spec, None, gpu("h100"), "vllm", 4)
    step = (
        weights["dense_bytes"] / (3350e9 * used["dense_read"])
        + 327_680 / 4 * 1050 / (3350e9 * used["cache_read"])
        + 80 * 9 * used["kernel_vllm"] + used["sequence"]
        + 160 * used["link_latency_fabric"] * (1 + used["link_latency_growth"] * 2)
        + 160 * 4 * 3 / 4 * 8192 / (450e9 * used["link_efficiency"])
    )  # fmt: skip
    assert found["step_s"] == pytest.approx(step)
    assert found["token_s"] == pytest.approx(step)  # nobody else's prompts
    assert found["limited_by"] == "bandwidth"


def test_prompts_of_others_take_time_from_each_token():
    used = constant_values()
    found = _terms(service("llama-3.1-70b"), gpu("h100"), CHAT, tp=4)
    read = used["prompt_contention"] * (1 - used["prompt_queue_vllm"]) * 49 * found["prompt_s"] / 500
    assert found["token_s"] == pytest.approx(found["step_s"] + read)
    total = found["first_token_s"] + 499 * found["token_s"]
    assert found["output_tokens_per_s"] == pytest.approx(50 * 500 / total)


# ---- formats, links, layouts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "name", "unit", "tflops"),
    [
        ("bf16", "h100", "16-bit", 989),
        ("fp8_tensor", "h100", "fp8", 1978),
        ("fp8_tensor", "a100-sxm-80gb", "widened", 312),
        ("nvfp4", "h100", "widened", 989),
        ("nvfp4", "b200", "fp4", 9000),
        ("awq", "b200", "widened", 2250),
        ("w8a8", "a100-sxm-80gb", "int8", 624),
        ("fp8_tensor", "mi300x", "fp8", 2614.9),
        ("nvfp4", "mi300x", "widened", 1307.4),
        ("mxfp4", "mi355x", "fp4", 10_066.3),
        ("fp8_tensor", "rtx-4080", "fp8", 2 * 97),  # not stated, so twice the 16-bit rate
        ("nf4", "l4", "widened", 121),
        ("fp8_tensor", "gaudi-3", "fp8", 1835),
        ("w8a8", "mi250", "int8", 2 * 362.1),
    ],
)
def test_the_rate_of_a_format(precision, name, unit, tflops):
    rate = rate_of_kind(kind_of_format(catalog.precision("precision", precision)), gpu(name))
    assert (rate.unit, rate.flops_per_s) == (unit, pytest.approx(tflops * 1e12))


@pytest.mark.parametrize(
    ("engine", "precision", "name", "reason"),
    [
        ("vllm", "fp8_tensor", "v100-sxm2-32gb", "fp8 needs compute capability 7.5, and NVIDIA V100 SXM2 32 GB has 7"),
        ("vllm", "fp8_tensor", "mi250", "has no FP8 units"),
        ("llama.cpp", "awq", "h100", "llama.cpp runs 16-bit, GGUF and MXFP4 weights only"),
        ("tensorrt-llm", "bf16", "mi300x", "TensorRT-LLM runs on NVIDIA's GPUs only"),
        ("tensorrt-llm", "q4_k_m", "h100", "TensorRT-LLM has no kernel for gguf formats"),
        ("vllm", "fp8_tensor", "ascend-910c", "no kernel for fp8 is known"),
    ],
)
def test_formats_without_a_kernel_are_refused(engine, precision, name, reason):
    with pytest.raises(OutOfRangeError, match="precision: ") as caught:
        check_kind(engine, kind_of_format(catalog.precision("precision", precision)), gpu(name))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("engine", "precision", "name"),
    [
        ("vllm", "awq", "t4"), ("vllm", "nf4", "v100-sxm2-32gb"), ("vllm", "w8a8", "mi250"),
        ("sglang", "fp8_tensor", "gaudi-3"), ("vllm", "awq", "gaudi-3"), ("llama.cpp", "mxfp4", "rx-7900-xtx"),
    ],
)  # fmt: skip
def test_formats_with_a_kernel(engine, precision, name):
    check_kind(engine, kind_of_format(catalog.precision("precision", precision)), gpu(name))


def test_a_gpu_whose_rate_is_not_known():
    with pytest.raises(OutOfRangeError, match="the compute rate of NVIDIA L4 is not known"):
        rate_of_kind("16-bit", replace(gpu("l4"), bf16_tflops=None, title="NVIDIA L4"))


def test_fp4_on_h100_gets_an_answer_at_16_bit_rates():
    on_h100 = speed(service("llama-3.1-70b", "nvfp4"), gpu("h100"), CHAT)
    in_16_bits = speed(service("llama-3.1-70b", "nvfp4"), gpu("b200"), CHAT)
    assert 0 < on_h100.expected.tokens_per_s_per_user < in_16_bits.expected.tokens_per_s_per_user


def test_nvfp4_leaves_latent_attention_in_16_bits():
    nvfp4 = catalog.precision("precision", "nvfp4")
    deepseek, llama = catalog.model("deepseek-r1").spec, catalog.model("llama-3.1-8b").spec
    assert "attention" not in served_format(deepseek, nvfp4).groups
    assert "attention" in served_format(llama, nvfp4).groups
    assert "embedding" not in served_format(llama, nvfp4).groups
    assert served_format(catalog.model("gpt-oss-120b").spec, catalog.precision("precision", "mxfp4")) is None
    assert served_format(llama, FP8) is FP8


def test_links():
    assert link_of(gpu("h100"), 8).kind == FABRIC
    assert link_of(gpu("h100"), 8).bytes_per_s == 450e9
    assert (link_of(gpu("h100"), 16).kind, link_of(gpu("h100"), 16).bytes_per_s) == (NODES, 50e9)
    assert link_of(gpu("gb200"), 36).kind == FABRIC  # a rack of 72 is one domain
    assert (link_of(gpu("rtx-a6000"), 2).kind, link_of(gpu("rtx-a6000"), 4).kind) == (FABRIC, PCIE)  # bridges join two
    assert link_of(gpu("rtx-6000-ada"), 2).bytes_per_s == 32e9  # no link is stated
    assert (link_of(gpu("dgx-spark"), 2).kind, link_of(gpu("dgx-spark"), 2).bytes_per_s) == (NODES, 25e9)


def test_latent_attention_divides_sequences_among_ranks_beyond_a_node():
    deepseek = catalog.model("deepseek-r1").spec
    assert (attention_groups(deepseek, 8, 8), attention_groups(deepseek, 8, 72)) == (1, 72)
    assert attention_groups(catalog.model("llama-3.1-70b").spec, 8, 16) == 1
    # 32 heads cannot be divided by 64 ranks; two groups of 32 share the experts.
    assert attention_groups(catalog.model("qwen3.5-397b-a17b").spec, 8, 64) == 2
    assert attention_groups(catalog.model("qwen3.5-397b-a17b").spec, 8, 16) == 1
    wide = speed(service("deepseek-r1", engine="sglang"), gpu("gb200"), replace(CHAT, users=4000), tp=72)
    assert wide.expected.users_at_once > 4000
    assert wide.range_class == "nodes"


@pytest.mark.parametrize(
    ("name", "on", "settings", "kind"),
    [
        ("llama-3.1-8b", "h100", {}, "current"),
        ("llama-3.1-8b", "h100", {"version": (0, 7, 0)}, "old"),
        ("llama-3.1-8b", "v100-sxm2-32gb", {}, "old"),
        ("llama-3.1-8b", "mi300x", {}, "amd"),
        ("gpt-oss-20b", "h100", {}, "few_users"),
        ("llama-3.1-8b", "rtx-4090", {"engine": "llama.cpp"}, "llama"),
    ],
)
def test_the_class_of_the_range(name, on, settings, kind):
    found = speed(service(name, **settings), gpu(on), Load(users=2, prompt_tokens=500, output_tokens=100))
    assert found.range_class == kind
    factor = constant_values()[f"range_{kind}"]
    limit = 1 / found.terms["least_step_s"]
    assert found.high.tokens_per_s_per_user == pytest.approx(min(limit, found.expected.tokens_per_s_per_user * factor))
    assert found.low.output_tokens_per_s == pytest.approx(found.expected.output_tokens_per_s / factor)
    assert found.low.first_token_s < found.expected.first_token_s < found.high.first_token_s
    assert found.low.users_at_once <= found.expected.users_at_once <= found.high.users_at_once


def test_tensor_parallelism_over_pcie_has_a_wider_range():
    found = speed(service("llama-3.1-8b"), gpu("rtx-4090"), Load(users=2, prompt_tokens=500, output_tokens=100), tp=2)
    assert found.range_class == "nodes"


def test_users_that_do_not_fit_wait():
    some = speed(service("llama-3.1-70b"), gpu("h100"), replace(CHAT, users=200), tp=4)
    many = speed(service("llama-3.1-70b"), gpu("h100"), replace(CHAT, users=5000), tp=4)
    assert some.limited_by != "memory"
    assert many.limited_by == "memory"
    at_once = many.expected.users_at_once
    just = speed(service("llama-3.1-70b"), gpu("h100"), replace(CHAT, users=at_once), tp=4)
    assert many.expected == just.expected


def test_a_model_that_fits_only_with_nearly_all_memory_is_computed_but_nobody_fits():
    found = speed(service("deepseek-r1", engine="sglang"), gpu("b200"), replace(CHAT, users=4), tp=4)
    assert (found.expected.users_at_once, found.limited_by) == (0, "memory")
    assert found.expected.tokens_per_s_per_user > 20


def test_replicas_share_the_users():
    one = speed(service("llama-3.1-70b"), gpu("h100"), replace(CHAT, users=20), tp=4)
    three = speed(service("llama-3.1-70b"), gpu("h100"), replace(CHAT, users=60), tp=4, replicas=3)
    assert three.expected.tokens_per_s_per_user == pytest.approx(one.expected.tokens_per_s_per_user)
    assert three.expected.output_tokens_per_s == pytest.approx(3 * one.expected.output_tokens_per_s)
    assert three.expected.users_at_once == 3 * one.expected.users_at_once


def test_users_at_a_wanted_speed_is_the_inverse_of_speed():
    served, load = service("llama-3.1-70b"), Load(users=1, prompt_tokens=1000, output_tokens=500)
    most = users_at_speed(served, gpu("h100"), load, 20, tp=4)
    assert 1 < most < 200
    at, above = (
        speed(served, gpu("h100"), replace(load, users=users), tp=4).low.tokens_per_s_per_user
        for users in (most, most + 1)
    )
    assert at >= 20 > above
    assert users_at_speed(served, gpu("h100"), load, 1000, tp=4) == 0
    assert users_at_speed(service("llama-3.1-70b"), gpu("l4"), load, 1) == 0  # not even one fits


@pytest.mark.parametrize(
    ("served", "on", "layout", "reason"),
    [
        (service("llama-3.1-70b"), "rtx-4090", {}, "do not fit on 1 × rtx-4090"),
        (service("llama-3.1-8b"), "mi300a", {}, "the memory bandwidth of AMD Instinct MI300A"),
        (service("llama-3.1-8b"), "h100", {"tp": 3}, "3 does not divide the 32 attention heads"),
        (service("llama-3.1-8b"), "h100", {"pp": 40}, "40 stages are more than the 32 layers"),
    ],
)
def test_what_cannot_be_computed(served, on, layout, reason):
    with pytest.raises(OutOfRangeError) as caught:
        speed(served, gpu(on), CHAT, **layout)
    assert reason in str(caught.value)


def test_a_model_of_which_only_the_size_is_known():
    with pytest.raises(UnsupportedModelError, match="only the size of"):
        speed(service("article-llama-70b"), gpu("h100"), CHAT)


# ---- laws ------------------------------------------------------------------------------------------------

MODELS = st.sampled_from(
    ["llama-3.1-8b", "qwen2.5-0.5b", "mixtral-8x7b", "gpt-oss-20b", "qwen3-30b-a3b", "deepseek-v2-lite", "gemma-3-27b"]
)
ON = st.sampled_from(
    ["h100-sxm", "a100-sxm-80gb", "b200", "l40s", "rtx-6000-ada", "mi300x", "v100-sxm2-32gb", "rtx-a6000"]
)
TOKENS = st.integers(1, 20_000)


@st.composite
def situations(draw):
    name, on, engine = draw(MODELS), draw(ON), draw(st.sampled_from(["vllm", "sglang", "tensorrt-llm", "llama.cpp"]))
    tp = 1 if engine == "llama.cpp" else draw(st.sampled_from([1, 2, 4, 8]))
    precision = draw(st.sampled_from(["shipped", "fp8", "w4a16"] if engine != "llama.cpp" else ["bf16", "q4_k_m"]))
    load = Load(users=draw(st.integers(1, 2000)), prompt_tokens=draw(TOKENS), output_tokens=draw(TOKENS))
    return service(name, precision, engine), catalog.gpu(on), load, tp


def computed(served, on, load, tp):
    try:
        return speed(served, on, load, tp=tp)
    except PlannerError:  # the model does not fit, cannot be split that way, or has no kernel there
        return None


def close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9)


@given(situations())
def test_no_step_is_faster_than_the_memory(situation):
    served, on, load, tp = situation
    found = computed(*situation)
    if found is None:
        return
    terms = found.terms
    read = terms["dense_bytes"] + terms["expert_bytes"] * terms["touched"] + terms["cache_bytes"] * terms["batch"]
    limit = on.bandwidth_gb_per_s * 1e9 / read
    assert found.expected.tokens_per_s_per_user <= found.high.tokens_per_s_per_user <= limit * (1 + 1e-9)
    assert found.expected.output_tokens_per_s <= found.high.output_tokens_per_s <= load.users * limit * (1 + 1e-9)
    if served.precision is None:
        assert terms["dense_bytes"] + terms["expert_bytes"] <= weights_bytes_per_gpu(served.model, None, tp=tp)


@given(situations(), st.integers(1, 500))
def test_more_users_never_get_more_each_nor_less_in_all(situation, more):
    served, on, load, tp = situation
    few, many = computed(*situation), computed(served, on, replace(load, users=load.users + more), tp)
    if few is None or many is None:
        return
    one, other = few.expected, many.expected
    assert other.tokens_per_s_per_user <= one.tokens_per_s_per_user * (1 + 1e-9)
    assert other.output_tokens_per_s >= one.output_tokens_per_s * (1 - 1e-9)
    assert other.first_token_s >= one.first_token_s * (1 - 1e-9)
    assert other.users_at_once == one.users_at_once


@given(situations(), st.sampled_from([1, 2, 3]), st.integers(1, 60))
def test_users_by_the_terms_are_never_more_than_get_the_wanted_speed(situation, pp, wanted):
    """Nor many fewer: dense models within a node get all of them."""
    served, on, load, tp = situation
    try:
        found = users_at_wanted_speed(served, on, load, wanted, tp=tp, pp=pp)
        room = Count(10**5, 10**5, 10**5)
        exact = users_at_speed(served, on, load, wanted, tp=tp, pp=pp, fitting=room)
    except PlannerError:
        return
    assert found <= max(1, exact)
    if found > 1:
        assert found >= 0.7 * exact - pp
    if exact > pp and pp == 1 and not weight_row(served.model, served.precision, tp).expert_bytes:
        assert found == exact


@given(situations(), st.floats(1, 4))
def test_better_hardware_is_never_slower(situation, factor):
    plain = computed(*situation)
    if plain is None:
        return
    everything = Terms(*WEIGHTS, *ATTENTION, *PACE, *LOAD)
    given_terms = {name: plain.terms[name] for name in everything.inputs}
    for better in ("bandwidth_bytes_per_s", "link_bytes_per_s", "sixteen_bit_flops_per_s", "dense_flops_per_s"):
        faster = everything.compute(given_terms | {better: given_terms[better] * factor})
        assert faster["token_s"] <= plain.terms["token_s"] * (1 + 1e-9)
        assert faster["first_token_s"] <= plain.terms["first_token_s"] * (1 + 1e-9)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
@pytest.mark.parametrize("tp", [4, 8])
def test_pcie_is_never_faster_than_a_fabric(engine, tp):
    fast = gpu("a100-sxm-80gb")
    slow = replace(fast, interconnect="PCIe Gen4 x16", interconnect_gb_per_s=64.0)
    served = service("llama-3.1-70b", engine=engine)
    over_pcie, over_nvlink = (speed(served, on, CHAT, tp=tp).expected for on in (slow, fast))
    assert over_pcie.tokens_per_s_per_user < over_nvlink.tokens_per_s_per_user
    assert over_pcie.first_token_s > over_nvlink.first_token_s


# ---- native formulas ----

SHEET_CASES = (
    ("llama-3.1-70b", "shipped", "vllm", "h100-sxm", 4, 1, 50),
    ("mixtral-8x7b", "w4a16", "sglang", "a100-sxm-80gb", 2, 1, 7),
    ("deepseek-r1", "nvfp4", "sglang", "b200", 8, 1, 300),
    ("gpt-oss-120b", "shipped", "tensorrt-llm", "b200", 1, 1, 1),
    ("llama-3.1-8b", "q4_k_m", "llama.cpp", "rtx-4090", 1, 2, 3),
    ("llama-3.1-70b", "shipped", "vllm", "h100-sxm", 4, 2, 5000),
    ("qwen3-30b-a3b", "fp8", "vllm", "mi300x", 2, 1, 64),
)


def _sheet_with_terms(path) -> list[dict]:
    """Write one case a column: its inputs, and below them each term as a native formula."""
    rows = {name: row for row, name in enumerate((*ALL_TERMS.inputs, *ALL_TERMS.by_name), start=1)}
    book, expected = Workbook(), []
    ws = book.active
    ws.title = "S"
    for column, (name, precision, engine, on, tp, pp, users) in enumerate(SHEET_CASES, start=1):
        load = replace(CHAT, users=users)
        terms = speed(service(name, precision, engine), gpu(on), load, tp=tp, pp=pp).terms
        terms = {**terms, "min_speed": 20}
        terms |= FAST.compute(terms)
        letter = get_column_letter(column)
        for one in ALL_TERMS.inputs:
            ws[f"{letter}{rows[one]}"] = terms[one]
        for term in ALL_TERMS:
            formula = spreadsheet_formula(term.formula, lambda one, at=letter: f"{at}{rows[one]}")
            ws[f"{letter}{rows[term.name]}"] = "=" + formula
        expected.append({f"{letter}{rows[one]}": terms[one] for one in ALL_TERMS.by_name})
    book.save(path)
    return expected


def _check(values, expected):
    for column in expected:
        for cell, value in column.items():
            assert values[cell] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-9, abs=1e-15)), (
                cell
            )


def test_native_formulas_compute_the_same(tmp_path):
    expected = _sheet_with_terms(tmp_path / "speed.xlsx")
    assert {column[list(column)[-1]] for column in expected} >= {"bandwidth", "memory"}
    _check(ironcalc_program.recalculate(tmp_path / "speed.xlsx")["S"], expected)


@pytest.mark.needs("libreoffice")
def test_libreoffice_computes_the_same(tmp_path):
    expected = _sheet_with_terms(tmp_path / "speed.xlsx")
    _check(libreoffice.recalculate(tmp_path / "speed.xlsx")["S"], expected)


def test_formulas_are_short_enough_to_follow():
    for term in ALL_TERMS:
        assert len(set(term.formula.names())) <= 8, term.name
        assert len(spreadsheet_formula(term.formula, lambda name: f"[@[{name}]]")) <= 200, term.name


# ---- measurements ----------------------------------------------------------------------------------------


def test_constants_have_sources():
    for one in constants():
        assert one.means and one.value > 0
        assert one.rows >= 20 or one.fitted_on == "assumed", one.name
    assert constant_values()["range_current"] <= 1.4
    assert constant_values()["link_latency_pcie"] >= constant_values()["link_latency_fabric"]


# No source that we have states the rate of these; `vram speed` says so.
RATE_NOT_STATED = re.compile("apple-.*|jetson-.*|mi308x|max-1550")


def test_every_gpu_with_a_bandwidth_has_rates_with_a_source():
    known = [found for found in catalog.gpus() if found.bandwidth_gb_per_s is not None]
    assert len(known) >= 150
    for found in known:
        assert bool(found.bf16_tflops) == bool(found.compute_source) != bool(RATE_NOT_STATED.fullmatch(found.name))
        if found.bf16_tflops is None:
            continue
        for rate in (found.fp8_tflops, found.fp4_tflops):
            assert rate is None or rate >= found.bf16_tflops
    assert gpu("h100").link_gb_per_s_one_way == 450


def _measured_errors():
    for row in measured_speeds():
        served = service_of(
            catalog.model(row.model).spec,
            catalog.weights_precision(row.precision),
            catalog.precision("kv_precision", row.kv_precision or "fp16"),
            None,
            engine=ENGINES[row.engine],
        )
        load = Load(users=row.users, prompt_tokens=row.prompt_tokens or 512, output_tokens=row.output_tokens or 512)
        if row.engine_version.startswith("0.7"):
            served = replace(served, version=(0, 7, 3))
        found = speed(served, gpu(row.gpu), load, tp=row.tp, pp=row.pp, replicas=row.replicas)
        for measured, computed_, low, high in (
            (row.tokens_per_s_per_user, found.expected.tokens_per_s_per_user, found.low.tokens_per_s_per_user,
             found.high.tokens_per_s_per_user),
            (row.output_tokens_per_s, found.expected.output_tokens_per_s, found.low.output_tokens_per_s,
             found.high.output_tokens_per_s),
        ):  # fmt: skip
            if measured:
                yield row, abs(computed_ / measured - 1), low <= measured <= high


def test_public_measurements_lie_in_the_stated_range():
    found = list(_measured_errors())
    assert len(found) > 150
    assert sum(inside for _, _, inside in found) / len(found) >= 0.8
    current = sorted(error for row, error, _ in found if row.set.startswith("silicon"))
    assert current[len(current) // 2] < 0.13


def test_the_nearest_measurement():
    found = nearest_measurement("qwen3-32b", "h100-sxm", tp=4, users=16, prompt_tokens=1024, engine="vllm")
    assert (found.model, found.gpu, found.engine) == ("qwen3-32b", "h100-sxm", "vllm")
    assert found.source
    assert nearest_measurement("llama-3.1-8b", "a2", tp=1, users=1, prompt_tokens=1, engine="vllm") is None


def test_the_inputs_are_those_of_the_terms():
    given_terms = inputs_of(service("llama-3.1-8b"), gpu("h100"), CHAT, 1, 1, constant_values())
    of_load = {"sequences", "running_users", "waiting_users", "min_speed"}
    computed_terms = {*WEIGHTS.by_name, *ATTENTION.by_name, *DRAFTS.by_name, "dense_kind", "expert_kind"}
    assert set(ALL_TERMS.inputs) == (set(given_terms) | of_load) - computed_terms
    assert set(SPEED.inputs) <= set(given_terms) | of_load
