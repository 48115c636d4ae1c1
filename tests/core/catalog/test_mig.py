"""MIG slices by name: their memory, and what is not known of them."""

from __future__ import annotations

from fractions import Fraction

import pytest

import vram
import vram_udf
from core import catalog
from core.catalog import mig
from core.catalog.gpu_inputs import gpu_or_size
from core.errors import UnknownNameError
from workbook.scenario import parse_scenario


@pytest.mark.parametrize(
    ("written", "name", "mib"),
    [
        ("h100-1g.10gb", "h100-sxm-1g.10gb", 9984),
        ("h100-sxm-1g.10gb", "h100-sxm-1g.10gb", 9984),
        ("H100 MIG 1g.10gb", "h100-sxm-1g.10gb", 9984),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "h100-sxm-1g.10gb", 9984),
        ("NVIDIA H100 SXM5 80 GB, MIG 1g.10gb", "h100-sxm-1g.10gb", 9984),
        ("h100-1g.10gb+me", "h100-sxm-1g.10gb", 9984),
        ("H100 NVL MIG 3g.47gb", "h100-nvl-3g.47gb", 47_232),
        ("a100-3g.40gb", "a100-sxm-80gb-3g.40gb", 40_192),
        ("a100-1g.5gb", "a100-sxm-40gb-1g.5gb", 4864),  # only the 40 GB model has this profile
        ("a30-1g.6gb", "a30-1g.6gb", 5952),
        ("b200-1g.23gb", "b200-1g.23gb", 20_992),
    ],
)
def test_a_slice_by_name(written, name, mib):
    found = gpu_or_size(written)
    assert (found.name, found.memory_mib, found.is_slice) == (name, mib, True)
    assert gpu_or_size(found.name) == found


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("h100-5g.50gb", 'no memory is known of the MIG profile 5g.50gb on NVIDIA H100 SXM5 80 GB. Write one of "h100'),
        ("l4-1g.6gb", "no memory is known of the MIG profile 1g.6gb on NVIDIA L4. Write the name of a whole GPU"),
        ("h101-1g.10gb", "'h101' is not known"),
        ("1g.10gb", "'1g.10gb' is not known"),
    ],
)
def test_unknown_slices(written, message):
    with pytest.raises(UnknownNameError, match=message):
        gpu_or_size(written)


# NVIDIA MIG User Guide, "Supported MIG Profiles": the fraction of memory of each number of compute slices; a profile of
# one compute slice with twice the memory of the smallest has 2/8.
SHARES = {"1g": Fraction(1, 8), "2g": Fraction(2, 8), "3g": Fraction(4, 8), "4g": Fraction(4, 8), "7g": Fraction(1)}


@pytest.mark.parametrize("profile", [profile for profile in mig.profiles() if profile.gpu != "a30"], ids=str)
def test_a_slice_has_less_than_its_share_of_the_memory(profile):
    slices, whole = profile.name.partition(".")[0], catalog.gpu(profile.gpu)
    share = SHARES[slices]
    if slices == "1g" and profile.name not in ("1g.5gb", "1g.10gb", "1g.12gb", "1g.18gb", "1g.23gb"):
        share *= 2
    if (whole.label_gb, profile.name) == (40, "1g.10gb"):
        share *= 2
    assert 0.88 * share * whole.memory_mib < profile.memory_mib < share * whole.memory_mib
    assert profile.source


def test_slices_are_not_rows_of_the_catalog():
    assert not [gpu for gpu in catalog.gpus() if gpu.is_slice]


def test_capacity_and_cell_functions_take_a_slice_and_a_replica_has_one():
    found = vram.capacity("qwen3-4b", gpu="h100-3g.40gb", context=8192)
    assert (found.gpu, found.warnings) == ("h100-sxm-3g.40gb", ())
    users = found.max_users.expected
    assert users > 0
    assert vram_udf.VRAM_MAX_USERS("qwen3-4b", 8192, "h100-3g.40gb", 2) == 2 * users
    assert vram_udf.VRAM_GPUS("qwen3-4b", 8192, users + 1, "h100-3g.40gb") == 2
    options = vram.plan("qwen3-4b", users=users + 1, context=8192, gpus=["h100-3g.40gb"], min_speed=None).options
    assert [(option.tp, option.pp, option.gpus) for option in options] == [(1, 1, 2)]
    assert vram_udf.VRAM_GPU("h100-3g.40gb", "memory_mib") == 40_448
    with pytest.raises(vram.PlannerError, match="tp: a process sees only one MIG slice, not 2. Name a larger slice"):
        vram.capacity("qwen3-4b", gpu="h100-3g.40gb", tp=2, context=8192)


def test_the_speed_of_a_slice_is_not_known():
    with pytest.raises(
        vram.PlannerError, match="gpu: the memory bandwidth of NVIDIA H100 SXM5 80 GB, MIG 3g.40gb is not"
    ):
        vram.speed("qwen3-4b", gpu="h100-3g.40gb", users=1, prompt_tokens=500, output_tokens=100)
    assert vram_udf.VRAM_SPEED("qwen3-4b", 500, 100, 1, "h100-3g.40gb", 1) == "#NUM!"


def test_a_scenario_takes_a_slice():
    found, problems = parse_scenario({"model": "qwen3-4b", "context": 8192, "users": 40, "gpu": "h100-3g.40gb"})
    assert not problems
    users = vram.capacity("qwen3-4b", gpu="h100-3g.40gb", context=8192).max_users.expected
    assert found.gpu_memory_gb == 40_448 * 2**20 / 10**9
    assert {(option.replica.tp, option.replica.pp, option.gpus) for option in found.options} == {
        (1, 1, -(-40 // users))
    }


def test_every_slice_follows_the_whole_gpus():
    found = mig.gpus_with_slices()
    assert found[: len(catalog.gpus())] == catalog.gpus()
    assert [gpu.name for gpu in found if gpu.is_slice] == [f"{each.gpu}-{each.name}" for each in mig.profiles()]
    assert all(gpu_or_size(gpu.name) == gpu for gpu in found)
