"""Test that clouds' machines mean some GPUs of a type."""

from __future__ import annotations

import re

import pytest

from core import catalog
from core.catalog.machines import machine_named, machines
from core.catalog.offers import offer_of_row


@pytest.mark.parametrize("machine", machines(), ids=lambda machine: machine.name)
def test_every_machine_has_gpus_of_the_catalog_and_a_source(machine):
    assert machine.gpu in catalog.gpu_names()
    assert 1 <= machine.gpus <= 16
    assert machine.cloud and machine.source
    assert catalog.gpu(machine.name).gpus_per_node == machine.gpus


def test_names_differ():
    keys = [re.sub(r"[-_ ]", "", machine.name.casefold()) for machine in machines()]
    assert len(set(keys)) == len(keys) >= 60


@pytest.mark.parametrize(
    ("written", "gpu", "gpus"),
    [
        ("p5.48xlarge", "h100-sxm", 8),
        ("Standard_ND96isr_H100_v5", "h100-sxm", 8),
        ("nc48ads a100 v4", "a100-pcie-80gb", 2),
        ("A2-MEGAGPU-16G", "a100-sxm-40gb", 16),
    ],
)
def test_machines_as_people_write_them(written, gpu, gpus):
    found = machine_named(written)
    assert (found.gpu, found.gpus) == (gpu, gpus)


def test_other_names_are_no_machine():
    assert machine_named("h100-sxm") is None


@pytest.mark.parametrize(("gpus", "expected"), [("", 4), ("1", 1)])
def test_an_offer_may_name_a_machine(gpus, expected):
    row = {"gpu": "g6e.12xlarge", "gpus": gpus, "kind": "own quote", "terms": "rent on demand", "typical": "10"}
    offer = offer_of_row(2, row)
    assert (offer.gpu, offer.gpus) == ("l40s", expected)
