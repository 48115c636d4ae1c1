"""Machines of clouds by name ("p5.48xlarge"): how many GPUs of a type each has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from core.catalog.data_files import read_data
from core.texts import plain_name


@dataclass(frozen=True)
class Machine:
    """A row of machines.csv: its name, the cloud, the GPU's name in gpus.csv and how many it has, and the source."""

    name: str
    cloud: str
    gpu: str
    gpus: int
    source: str


@cache
def machines() -> tuple[Machine, ...]:
    """Return all machines, in file order."""
    return tuple(
        Machine(row["name"], row["cloud"], row["gpu"], int(row["gpus"]), row["source"])
        for row in read_data("machines.csv")
    )


def machine_named(text: str) -> Machine | None:
    """Return the machine of that name, ignoring case, hyphens and Azure's "Standard_"; None if there is none."""
    return _by_key().get(_key(text))


def _key(text: str) -> str:
    return re.sub(r"[\s_-]", "", plain_name(text).casefold()).removeprefix("standard")


@cache
def _by_key() -> dict[str, Machine]:
    return {_key(machine.name): machine for machine in machines()}
