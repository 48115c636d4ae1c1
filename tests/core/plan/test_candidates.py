"""Which GPUs a plan compares."""

from __future__ import annotations

import pytest

from core import catalog
from core.errors import PlannerError
from core.plan.candidates import NOT_FOR_DATA_CENTRES, NOT_LISTED, OTHER_MAKER, Wanted, maker_of, makers, why_left_out


@pytest.mark.parametrize(
    ("gpu", "wanted", "reason"),
    [
        ("h100-sxm", Wanted(), ""),
        ("rtx-4090", Wanted(), ""),
        ("rtx-4090", Wanted(data_centre_only=True), NOT_FOR_DATA_CENTRES),
        ("rtx-pro-6000", Wanted(data_centre_only=True), NOT_FOR_DATA_CENTRES),
        ("rtx-pro-6000-server", Wanted(data_centre_only=True), ""),
        ("mi300x", Wanted(maker="NVIDIA"), OTHER_MAKER),
        ("mi300x", Wanted(maker="AMD", data_centre_only=True), ""),
        ("h100-sxm", Wanted(names=("h200-sxm",)), NOT_LISTED),
        ("h200-sxm", Wanted(names=("h200-sxm", "mi300x")), ""),
    ],
)
def test_reasons(gpu, wanted, reason):
    assert why_left_out(catalog.gpu(gpu), wanted) == reason


def test_every_gpu_has_a_segment():
    assert {gpu.segment for gpu in catalog.gpus()} == {"data centre", "workstation", "consumer"}


def test_makers():
    assert makers() == ("NVIDIA", "AMD", "Intel", "Huawei", "Hygon", "Apple")
    assert maker_of(" amd") == "AMD"
    with pytest.raises(PlannerError, match="maker"):
        maker_of("Acme")
