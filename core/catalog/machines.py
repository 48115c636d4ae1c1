"""Machines of clouds by name ("p5.48xlarge"): how many GPUs of a type each has."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass
from functools import cache

from core.texts import plain_name

_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "machines.csv")


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
    with open(_FILE, encoding="utf-8", newline="") as lines:
        return tuple(
            Machine(row["name"], row["cloud"], row["gpu"], int(row["gpus"]), row["source"])
            for row in csv.DictReader(lines)
        )


def machine_named(text: str) -> Machine | None:
    """Return the machine of that name, ignoring case, hyphens and Azure's "Standard_"; None if there is none."""
    return _by_key().get(_key(text))


def _key(text: str) -> str:
    return re.sub(r"[\s_-]", "", plain_name(text).casefold()).removeprefix("standard")


@cache
def _by_key() -> dict[str, Machine]:
    return {_key(machine.name): machine for machine in machines()}
