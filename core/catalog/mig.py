"""MIG slices: parts of an NVIDIA GPU that a process sees as a GPU with its own memory ("h100-1g.10gb").

Which profiles exist, and their shares: NVIDIA MIG User Guide, "Supported MIG Profiles". Memory: `data/mig.csv`, as the
driver reports it, which is less than the share of the whole GPU.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache

from core.catalog import names
from core.catalog.data_files import read_data
from core.catalog.hardware import MIG_SLICE, Gpu
from core.errors import UnknownNameError

# "h100-1g.10gb", "H100 MIG 1g.10gb", "NVIDIA H100 80GB HBM3 MIG 1g.10gb"; "+me" adds a video engine, not memory.
_SLICE = re.compile(r"(.*?\w)[\s,_-]+(?:mig[\s_-]*)?(\d)g\.(\d{1,3})gb(?:[+-]\w[\w.]*)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Profile:
    """A profile of one GPU: its name ("1g.10gb"), the memory that the driver reports, and the source."""

    gpu: str
    name: str
    memory_mib: int
    source: str


def slice_named(text: str) -> Gpu | None:
    """Return the slice that `text` names, as a separate GPU; None if it does not name one.

    No rates and no bandwidth are known of a slice, so its speed is not computed. "A100-3g.20gb" is a slice of the 40 GB
    model, because only that has this profile.

    Raises:
        UnknownNameError: there is no such GPU, or its memory in that profile is not known.
    """
    found = _SLICE.fullmatch(text.strip())
    if found is None:
        return None
    whole, name = names.gpu(found[1]), f"{found[2]}g.{found[3]}gb"
    family = whole.name.partition("-")[0]
    of_family = [profile for profile in profiles() if profile.gpu.partition("-")[0] == family]
    of_gpu = [profile for profile in of_family if profile.gpu == whole.name]
    for profile in (*of_gpu, *of_family):
        if profile.name == name:
            return _slice(names.gpu(profile.gpu), profile)
    known = ", ".join(f'"{profile.gpu}-{profile.name}"' for profile in of_gpu)
    remedy = f"Write one of {known}." if known else "Write the name of a whole GPU."
    raise UnknownNameError("gpu", f"no memory is known of the MIG profile {name} on {whole.title}", remedy)


def gpu_or_slice(value: object, more: str = "") -> Gpu:
    """Return the GPU or the slice that `value` names.

    Raises:
        WrongTypeError, UnknownNameError: as for `catalog.gpu` and `slice_named`.
    """
    found = slice_named(value) if isinstance(value, str) else None
    return found or names.gpu(value, more)


@cache
def gpus_with_slices() -> tuple[Gpu, ...]:
    """Return what a workbook and an offer can name: the catalog's GPUs and after them their slices, in file order."""
    return (*names.gpus(), *(_slice(names.gpu(profile.gpu), profile) for profile in profiles()))


def gpu_called(name: str) -> Gpu | None:
    """Return the GPU or the slice with exactly that name; None if there is none."""
    return _by_name().get(name)


@cache
def _by_name() -> dict[str, Gpu]:
    return {gpu.name: gpu for gpu in gpus_with_slices()}


def _slice(whole: Gpu, profile: Profile) -> Gpu:
    """Return one slice of a GPU as a GPU."""
    return replace(
        whole,
        name=f"{whole.name}-{profile.name}",
        aliases=(),
        title=f"{whole.title}, MIG {profile.name}",
        sm_count=None,
        form_factor=MIG_SLICE,
        label_gb=int(profile.name.partition(".")[2].removesuffix("gb")),
        memory_mib=profile.memory_mib,
        memory_source=profile.source,
        bandwidth_gb_per_s=None,
        tdp_w=None,
        gpus_per_node=1,
        interconnect="",
        interconnect_gb_per_s=None,
        bf16_tflops=None,
        int8_tops=None,
        fp8_tflops=None,
        fp4_tflops=None,
        compute_source="",
    )


@cache
def profiles() -> tuple[Profile, ...]:
    """Return every profile of which the memory is known, in file order."""
    return tuple(
        Profile(gpu, row["profile"], int(row["memory_mib"]), row["source"])
        for row in read_data("mig.csv")
        for gpu in row["gpus"].split(";")
    )
