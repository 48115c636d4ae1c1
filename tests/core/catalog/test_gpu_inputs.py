"""What users write for a GPU: names, cards' numbers and sizes of memory."""

from __future__ import annotations

import pytest

from core import catalog
from core.catalog.gpu_inputs import card_of_size, gpu_or_size, named_gpu, sizes
from core.catalog.hardware import Gpu
from core.errors import OutOfRangeError, UnknownNameError, WrongTypeError
from core.plan.fleet import choice_of
from core.units import GB, MIB


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (4090, "rtx-4090"),
        (4090.0, "rtx-4090"),
        ("4090", "rtx-4090"),
        (" RTX 4090 ", "rtx-4090"),
        (3090, "rtx-3090"),
        ("3090 Ti", "rtx-3090-ti"),
        ("4080 super", "rtx-4080-super"),
        (5090, "rtx-5090"),
        (3060, "rtx-3060-12gb"),
        (7900, "rx-7900-xtx"),
        ("7900 XTX", "rx-7900-xtx"),
        ("H100 80GB", "h100-sxm"),
    ],
)
def test_a_number_of_four_digits_is_a_card(written, name):
    assert gpu_or_size(written).name == name
    assert named_gpu(written).name == name


@pytest.mark.parametrize("written", [80, 80.0, "80", "80 GB", "80gb", " 80 Gb"])
def test_a_size_that_some_gpu_has_is_a_size(written):
    assert gpu_or_size(written) == 80
    with pytest.raises(OutOfRangeError, match="gpu: 80 GB of memory have no bandwidth .* Name a GPU"):
        named_gpu(written)


@pytest.mark.parametrize(
    ("written", "error", "message"),
    [
        (85, OutOfRangeError, "gpu: no GPU of the catalog has 85 GB. Write a size such as 80 or 84, or a name"),
        ("79.19", OutOfRangeError, "gpu: no GPU of the catalog has 79.19 GB. Write a size such as 80 or 84"),
        (4091, OutOfRangeError, "gpu: 4091 is neither a card's name nor a size in GB of one. Name a GPU"),
        (2070, OutOfRangeError, 'gpu: 2070 is neither a card\'s name nor .* Write "rtx-2070-super".'),
        (6000, OutOfRangeError, 'gpu: 6000 is neither .* Write .*"rtx-6000-ada" or "rtx-a6000"'),
        (0.5, OutOfRangeError, "gpu_memory_gb: 0.5 is below 1"),
        (
            "h101",
            UnknownNameError,
            "gpu: 'h101' is not known. Did you mean 'h100-nvl' .* write its GB, for example 32.",
        ),
        (True, WrongTypeError, "gpu: TRUE is not a name"),
        (None, WrongTypeError, "gpu: None is not a name"),
    ],
)
def test_anything_else_is_an_error_that_says_what_to_write(written, error, message):
    with pytest.raises(error, match=message):
        gpu_or_size(written)


@pytest.mark.parametrize(
    ("size_gb", "mib"),
    [
        (80, 81_559),  # nvidia-smi of an H100; an A100 has 81 920
        (24, 23_028),  # of an A10; an RTX 4090 has 24 564
        (141, 143_771),
        (192, 196_592),  # amd-smi of an MI300X
        (64, 64 * GB / MIB),  # no source shows what the driver of an MI210 reports: the label
    ],
)
def test_a_size_means_the_card_with_the_least_memory(size_gb, mib):
    assert card_of_size(size_gb).memory_bytes == mib * MIB


def test_every_size_fits_on_every_card_of_that_size():
    for size in sizes():
        least = card_of_size(size)
        assert all(gpu.memory_is_label or gpu.memory_bytes >= least.memory_bytes for gpu in catalog.gpus()
                   if gpu.label_gb == size and not least.memory_is_label)  # fmt: skip


def test_a_speed_needs_a_name():
    with pytest.raises(UnknownNameError) as caught:
        named_gpu("mi220")
    assert str(caught.value) == "gpu: 'mi220' is not known. Did you mean 'mi250'?"


def test_no_card_has_a_number_that_is_a_size():
    assert not [size for size in sizes() if isinstance(gpu_or_size(size), Gpu)]


def test_no_name_without_its_family_hides_another_gpu():
    for gpu in catalog.gpus():
        for name in (gpu.name, *gpu.aliases):
            assert catalog.gpu(name) is gpu


def test_which_gpus_share_memory_with_the_cpu():
    assert {gpu.name for gpu in catalog.gpus() if gpu.shares_memory} == {
        gpu.name for gpu in catalog.gpus() if "memory shared with the CPU" in gpu.title
    }
    assert choice_of("dgx-spark").device.shares_memory and not choice_of("h100").device.shares_memory
