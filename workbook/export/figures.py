"""What the formulas of an exported scenario give, computed by `core`."""

from __future__ import annotations

from dataclasses import dataclass

from core.checks import LIMITS
from core.kv_cache import KvProfile
from core.sizing import footprint
from core.units import GB
from workbook import formulas as f
from workbook.scenario import Scenario

RATE_FORMAT, MEMORY_FORMAT = "0.0##%", "#,##0.##"

# The inputs that stay open on an exported sheet, in order. All are within their limits when they are exported.
OPEN_INPUTS = ("context", "users", "overhead", "gpu_memory_gb")


@dataclass(frozen=True)
class Figures:
    """A scenario with what follows from it; sizes in GB are not rounded to whole bytes, as formulas are not.

    Attributes:
        weights_bytes: the weights in the scenario's precision.
        kv: what one sequence keeps.
        is_within_longest: whether the context is one that the model was made for; true if that is not known.
    """

    scenario: Scenario
    kv: KvProfile
    weights_bytes: int
    weights_gb: float
    kv_gb: float
    overhead_gb: float
    gpus: int
    is_within_longest: bool

    @property
    def total_gb(self) -> float:
        return self.weights_gb + self.kv_gb + self.overhead_gb

    @property
    def all_gpus_gb(self) -> float:
        return self.gpus * self.scenario.gpu_memory_gb


def figures_of(scenario: Scenario) -> Figures:
    """The figures of `scenario`.

    Raises:
        PlannerError: `core` cannot size it.
    """
    needs = scenario.sized()
    weights_gb, kv_gb = needs.weights_bytes / GB, needs.kv_bytes / GB
    longest = scenario.model.spec.max_position_embeddings
    return Figures(
        scenario=scenario,
        kv=footprint(scenario.model.spec).kv,
        weights_bytes=needs.weights_bytes,
        weights_gb=weights_gb,
        kv_gb=kv_gb,
        overhead_gb=(weights_gb + kv_gb) * scenario.overhead,
        gpus=needs.gpus,
        is_within_longest=longest is None or scenario.context <= longest,
    )


def inputs_are_usable(cells: dict[str, str], limits: dict[str, tuple[str, str]]) -> str:
    """Formula: whether every input (field → its cell) is within `limits` (field → cells of least and most)."""
    checks = (f.is_number_within(cells[field], *limits[field], whole=LIMITS[field].whole) for field in OPEN_INPUTS)
    return f"AND({','.join(checks)})"


def is_within_longest(context: str, longest: str) -> str:
    """Formula: whether the context is no longer than the model's longest, where that is a number."""
    return f"IF(ISNUMBER({longest}),{context}<={longest},TRUE)"
