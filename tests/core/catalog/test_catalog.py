"""Test the catalog of models, GPUs and precisions, and their cards."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import Counter

import pytest

from core import catalog
from core.catalog.cards import card_field, gpu_card, model_card
from core.catalog.hardware import computes_in_fp8
from core.catalog.rows import read_rows
from core.errors import OutOfRangeError, UnknownNameError, WrongTypeError
from core.model.parameters import count_parameters
from core.model.spec import ModelSpec

MODELS = pytest.mark.parametrize("model", catalog.models(), ids=lambda model: model.name)
GPUS = pytest.mark.parametrize("gpu", catalog.gpus(), ids=lambda gpu: gpu.name)
PRECISIONS = pytest.mark.parametrize("row", catalog.precisions(), ids=lambda row: row.precision.name)


def test_the_catalogs_texts_pass_the_checks_of_own_files():
    path = os.path.join(catalog.DATA_FOLDER, "models.csv")
    assert [row["name"] for row in read_rows(path)] == [row["name"] for row in read_rows(path, own=False)]


def test_counted_parameters_equal_the_published_ones():
    """Compare with published totals that count the same tensors; those with draft layers or scales are not listed."""
    published = [model for model in catalog.models() if model.published_parameters is not None]
    assert len(published) >= 200
    differing = [m.name for m in published if count_parameters(m.spec).total != m.published_parameters]
    assert differing == []


def test_the_article_states_its_parameters():
    assert count_parameters(catalog.model("article-llama-70b").spec).total == 70 * 10**9


def test_the_catalog_has_the_common_model_families():
    assert len(catalog.models()) >= 100
    for family in ("llama-4", "qwen3-next", "mixtral", "gemma-3", "phi-4", "deepseek-v3", "kimi-k2", "glm-4.5", "gpt-oss",
                   "command-r", "granite", "nemotron", "falcon", "olmo", "jamba", "yi", "seed-oss"):  # fmt: skip
        assert any(name.startswith(family) for name in catalog.model_names()), family


@MODELS
def test_every_model_has_a_source_and_a_date(model):
    assert model.source and model.title
    assert re.fullmatch(r"\d{4}-\d\d(-\d\d)?", model.as_of)
    assert model.spec.name == model.name


def test_no_two_models_share_a_name():
    owners = Counter()
    for model in catalog.models():
        names = {model.name, *model.aliases, *(alias.rpartition("/")[2] for alias in model.aliases)}
        owners.update({re.sub(r"[\s_-]", "", name.casefold()) for name in names})
    assert [name for name, count in owners.items() if count > 1] == []


@MODELS
def test_a_model_is_found_by_all_its_names(model):
    for name in (model.name, *model.aliases, *(alias.rpartition("/")[2] for alias in model.aliases)):
        for written in (name, name.upper(), f" {name} ", name.replace("-", " "), name.replace("-", "_")):
            assert catalog.model(written) is model


def test_names_are_in_the_order_of_the_models():
    assert catalog.model_names() == tuple(model.name for model in catalog.models())


@pytest.mark.parametrize(
    "name, error, message",
    [
        ("lama-3.1-70b", UnknownNameError, "Did you mean 'llama-3.1-70b'?"),
        ("", UnknownNameError, "model: '' is not known. Write one of the names in the Models sheet of the planner."),
        ("../../etc/passwd", UnknownNameError, "is not known"),
        (70, WrongTypeError, 'model: 70 is not a name. Write a name such as "llama-3.1-70b".'),
        (None, WrongTypeError, "is not a name"),
    ],
)
def test_unknown_models(name, error, message):
    with pytest.raises(error) as caught:
        catalog.model(name)
    assert message in str(caught.value)


# ---- GPUs --------------------------------------------------------------------------------------------


def test_the_capacity_is_what_the_driver_reports():
    # nvidia-smi, amd-smi and hl-smi on real machines; the source of each is in gpus.csv.
    reported_mib = {
        "t4": 15_360,
        "v100-sxm2-32gb": 32_768,
        "a100-sxm-40gb": 40_960,
        "a100-sxm-80gb": 81_920,
        "l4": 23_034,
        "l40s": 46_068,
        "h100-sxm": 81_559,
        "h100-nvl": 95_830,
        "h200-sxm": 143_771,
        "b200": 183_359,
        "gb300": 284_208,
        "rtx-4090": 24_564,
        "rtx-5090": 32_607,
        "mi300x": 196_592,
        "gaudi-3": 131_072,
    }
    assert {name: catalog.gpu(name).memory_mib for name in reported_mib} == reported_mib
    assert {name: catalog.gpu(name).memory_bytes for name in reported_mib} == {
        name: mib * 2**20 for name, mib in reported_mib.items()
    }


@GPUS
def test_the_capacity_agrees_with_the_label(gpu):
    """A label's GB is 2³⁰ bytes ("80 GB" A100: 81 920 MiB) or 10⁹ ("288 GB" B300: 275 040 MiB). ECC may take a sixteenth
    ("24 GB" P40: 23 040 MiB), and the driver reserves little. A larger difference is an error in the data.
    """
    if gpu.memory_is_label:
        assert gpu.memory_bytes == gpu.label_gb * 10**9
    else:
        assert 0.93 * gpu.label_gb * 2**30 <= gpu.memory_bytes <= 1.02 * gpu.label_gb * 2**30


@GPUS
def test_a_gpu_is_found_by_all_its_names(gpu):
    for name in (gpu.name, *gpu.aliases):
        for known_as in (name, f"{gpu.maker} {name}"):
            for written in (known_as.upper(), known_as.lower(), known_as.replace(" ", "-"), known_as.replace("-", "")):
                assert catalog.gpu(written) is gpu


@pytest.mark.parametrize(
    "written, name",
    [
        ("H100-80GB", "h100-sxm"),
        ("h100 sxm 80gb", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),  # this and the following as nvidia-smi prints them
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80gb"),
        ("NVIDIA GH200 480GB", "gh200-96gb"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("Tesla V100-SXM2-16GB", "v100-sxm2-16gb"),
        ("A100 80GB", "a100-sxm-80gb"),
        ("Ｈ１００", "h100-sxm"),
        ("H800", "h800-sxm"),
        ("2080 Ti", "rtx-2080-ti"),
        ("4090 48GB", "rtx-4090-48gb"),
        ("5090D", "rtx-5090-d"),
        ("A100 40G", "a100-sxm-40gb"),
        ("V100 32G", "v100-sxm2-32gb"),
        ("M4 Max 128GB", "apple-m4-max-128gb"),
        ("苹果 M2 Ultra", "apple-m2-ultra-192gb"),
        ("华为昇腾 910B", "ascend-910b"),
        ("海光 K100-AI", "hygon-k100-ai"),
        ("英伟达 H20", "h20"),
        ("Jetson AGX Orin", "jetson-agx-orin-64gb"),
        ("p4d.24xlarge", "a100-sxm-40gb"),
        ("ND96isr_H100_v5", "h100-sxm"),
        ("a3-highgpu-8g", "h100-sxm"),
        ("ecs.gn7e-c16g1.32xlarge", "a100-sxm-80gb"),
        ("GN10Xp.20XLARGE320", "v100-sxm2-32gb"),
    ],
)
def test_gpus_as_people_and_drivers_write_them(written, name):
    assert catalog.gpu(written).name == name


@pytest.mark.parametrize(
    ("written", "choices"),
    [
        ("4060 Ti", "rtx-4060-ti-16gb, rtx-4060-ti-8gb"),
        ("RTX 5060 Ti", "rtx-5060-ti-16gb, rtx-5060-ti-8gb"),
        ("M4 Max", "apple-m4-max-128gb, apple-m4-max-64gb"),
    ],
)
def test_a_name_without_its_memory_asks_which(written, choices):
    with pytest.raises(UnknownNameError, match="fits several GPUs") as caught:
        catalog.gpu(written)
    assert caught.value.remedy == f"Say which: {choices}."


def test_no_two_gpus_share_a_name():
    owners = Counter()
    for gpu in catalog.gpus():
        names = {written for alias in (gpu.name, *gpu.aliases) for written in (alias, f"{gpu.maker} {alias}")}
        owners.update({re.sub(r"[\s_-]", "", name.casefold()) for name in names})
    assert [name for name, count in owners.items() if count > 1] == []


@GPUS
def test_every_gpu_has_sources_and_a_date(gpu):
    assert gpu.title and gpu.maker and gpu.source
    assert re.fullmatch(r"\d{4}-\d\d", gpu.as_of)
    assert bool(gpu.memory_source) == (not gpu.memory_is_label)
    numbers = (gpu.label_gb, gpu.sm_count, gpu.bandwidth_gb_per_s, gpu.tdp_w, gpu.gpus_per_node)
    assert all(number is None or number > 0 for number in numbers)
    assert gpu.interconnect_gb_per_s is None or gpu.interconnect


@pytest.mark.parametrize(
    ("name", "computes"),
    [
        # NVIDIA's CUDA documentation: FP8 since compute capability 8.9. AMD: since CDNA3 and RDNA4.
        *[(name, True) for name in ("l4", "h100-sxm", "b200", "b300", "rtx-5090", "mi300x", "mi355x")],
        *[(name, False) for name in ("t4", "v100-sxm2-32gb", "a100-sxm-80gb", "rtx-3090", "mi250", "rx-7900-xtx")],
        ("radeon-ai-pro-r9700", True),
        ("gaudi-2", True),
        ("gaudi-3", True),
    ],
)
def test_which_gpus_compute_in_fp8(name, computes):
    assert computes_in_fp8(catalog.gpu(name)) is computes


@GPUS
def test_every_gpu_has_a_card(gpu):
    card = gpu_card(gpu)
    assert (card["name"], card["source"], card["memory_gb"]) == (gpu.name, gpu.source, gpu.memory_bytes / 10**9)
    assert card["memory_basis"] == ("driver" if "memory_mib" in card else "label")
    assert all(type(value) in (float, str) and value != "" for value in card.values())


def test_gpus_are_listed_as_a_buyer_looks_for_them():
    """By maker; of a maker those for data centres first; of these the newest architecture first."""
    keys = [(gpu.maker, gpu.segment, gpu.architecture) for gpu in catalog.gpus()]
    for parts in (1, 2, 3):
        runs = [group for group, _ in itertools.groupby(key[:parts] for key in keys)]
        assert len(runs) == len(set(runs)), runs
    for maker, rows in itertools.groupby(catalog.gpus(), key=lambda gpu: gpu.maker):
        segments = list(dict.fromkeys(gpu.segment for gpu in rows))
        assert segments == [each for each in ("data centre", "workstation", "consumer") if each in segments], maker
    nvidia = dict.fromkeys(gpu.architecture for gpu in catalog.gpus() if gpu.maker == "NVIDIA")
    newest_first = ["Blackwell Ultra", "Blackwell", "Hopper", "Ada Lovelace", "Ampere", "Turing", "Volta", "Pascal"]
    assert list(nvidia) == newest_first


def test_names_are_in_the_order_of_the_gpus():
    assert catalog.gpu_names() == tuple(gpu.name for gpu in catalog.gpus())
    assert len(set(catalog.gpu_names())) == len(catalog.gpus())


@pytest.mark.parametrize(
    "name, error, message",
    [
        ("h1000", UnknownNameError, "gpu: 'h1000' is not known. Did you mean 'h100-nvl' or 'h100-sxm' or 'h100-pcie'?"),
        ("rtx 4091", UnknownNameError, "Did you mean 'rtx-4090'?"),
        ("", UnknownNameError, "gpu: '' is not known. Write one of the names in the GPUs sheet of the planner."),
        (80, WrongTypeError, 'gpu: 80 is not a name. Write a name such as "h100-sxm".'),
        (None, WrongTypeError, "is not a name"),
    ],
)
def test_unknown_gpus(name, error, message):
    with pytest.raises(error) as caught:
        catalog.gpu(name)
    assert message in str(caught.value)


# ---- precisions --------------------------------------------------------------------------------------


def test_shipped_weights_have_no_precision():
    assert catalog.weights_precision(" Shipped ") is None
    assert catalog.weights_precision("fp8").name == "fp8"
    assert catalog.weights_precision(2).bytes_per_value == 2
    with pytest.raises(UnknownNameError, match="precision: 'unshipped' is not known"):
        catalog.weights_precision("unshipped")


def test_bits_of_the_plain_formats():
    bits = {row.precision.name: row.precision.bits_per_value for row in catalog.precisions()}
    # What each name says; IEEE 754-2019 and arXiv:2209.05433 for the floating-point formats.
    expected = {"fp32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "int4": 4}
    assert {name: bits[name] for name in expected} == expected


# Use of a format → the inputs that accept it, and those that do not.
FIELDS = {
    "": (("precision", "kv_precision"), ()),
    "weights": (("precision",), ("kv_precision",)),
    "kv": (("kv_precision",), ("precision",)),
}


@PRECISIONS
def test_a_precision_is_found_by_all_its_names(row):
    for name in (row.precision.name, *row.aliases):
        for written in (name, name.upper(), f" {name} ", name.replace("_", "-")):
            for field in FIELDS[row.use][0]:
                assert catalog.precision(field, written) is row.precision


@pytest.mark.parametrize("row", [row for row in catalog.precisions() if row.use], ids=lambda row: row.precision.name)
def test_a_format_for_one_use_is_refused_for_the_other(row):
    only = {"weights": "weights", "kv": "the KV cache"}[row.use]
    for name in (row.precision.name, *row.aliases):
        for field in FIELDS[row.use][1]:
            with pytest.raises(UnknownNameError) as caught:
                catalog.precision(field, name)
            assert str(caught.value) == f'{field}: \'{name}\' is a format for {only} only. Write "fp16" or "fp8".'


def test_no_two_precisions_share_a_name():
    owners = Counter()
    for row in catalog.precisions():
        owners.update({re.sub(r"[\s_-]", "", name.casefold()) for name in (row.precision.name, *row.aliases)})
    assert [name for name, count in owners.items() if count > 1] == []


@pytest.mark.parametrize(
    "field, value, remedy",
    [
        ("precision", "q4_k", "Did you mean 'q4_k_s'?"),
        ("kv_precision", "q4_k", "Did you mean 'q4_1'?"),
        ("kv_precision", "fp8_ds_mlb", "Did you mean 'fp8_ds_mla'?"),
        ("precision", "fp8_ds_mlb", "Write one of the names in the Precisions sheet."),
    ],
)
def test_only_names_that_the_field_accepts_are_suggested(field, value, remedy):
    with pytest.raises(UnknownNameError) as caught:
        catalog.precision(field, value)
    assert caught.value.remedy == remedy


@PRECISIONS
def test_every_precision_has_a_source_and_two_titles(row):
    assert row.precision.source and row.as_of
    assert row.titles["en"] and row.titles["zh"] and row.titles["en"] != row.titles["zh"]


@pytest.mark.parametrize(
    "value, error",
    [
        ("fp15", UnknownNameError),
        ("", UnknownNameError),
        (16, OutOfRangeError),
        (math.nan, OutOfRangeError),
        (True, WrongTypeError),
        (None, WrongTypeError),
        ([2], WrongTypeError),
    ],
)
def test_errors_for_invalid_precisions_name_the_field(value, error):
    with pytest.raises(error, match="^kv_precision: "):
        catalog.precision("kv_precision", value)


# ---- cards -------------------------------------------------------------------------------------------


@MODELS
def test_every_model_has_a_card(model):
    card = model_card(model.spec)
    assert (card["name"], card["source"]) == (model.name, model.source)
    assert card["parameters"] == float(count_parameters(model.spec).total)
    assert all(type(value) in (float, str) and value != "" for value in card.values())
    assert {card_field(card, field.upper()) for field in card} == set(card.values())


def test_a_card_without_known_heads_does_not_show_heads():
    assert "num_attention_heads" not in model_card(catalog.model("article-llama-70b").spec)


def test_another_model_with_a_catalog_name_has_no_source():
    spec = ModelSpec(
        name="llama-3.1-70b", hidden_size=1, layers=catalog.model("llama-3-8b").spec.layers, stated_parameters=1
    )
    assert "source" not in model_card(spec)


def test_similar_fields_are_suggested_for_an_unknown_field():
    with pytest.raises(UnknownNameError, match="field: 'hidden_siz' is not known. Did you mean 'hidden_size'"):
        card_field(model_card(catalog.model("llama-3.1-70b").spec), "hidden_siz")


@pytest.mark.parametrize(
    ("short", "value"),
    [
        ("layers", 80),
        ("Hidden", 8192),
        ("kv_heads", 8),
        ("context", 131072),
        ("license", "Llama 3.1 Community License"),
    ],
)
def test_fields_have_the_short_names_that_people_type(short, value):
    assert card_field(model_card(catalog.model("llama-3.1-70b").spec), short) == value
