"""The Python API of the VRAM planner: what a model needs, what an engine leaves, what to deploy.

    import vram

    vram.model("llama-3.1-70b").parameters
    vram.estimate("llama-3.1-70b", context=32_768, users=10).total_gb
    vram.capacity("llama-3.1-70b", gpu="h100", tp=4, context=32_768).max_users.expected
    vram.plan("llama-3.1-70b", users=50, context=32_768).options[0]
    vram.speed("llama-3.1-70b", gpu="h100", tp=4, users=50, prompt_tokens=2000, output_tokens=500).expected
    vram.train("llama-3.1-8b", method="lora", sequence=4096, gpu="rtx-4090").total_bytes

Wrong input raises `PlannerError`, whose text names the argument, the value and a remedy. docs/api.md has more examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import __version__
from core.errors import PlannerError

if TYPE_CHECKING:
    from vram.capacities import Capacity, Range, capacity
    from vram.estimates import Estimate, estimate
    from vram.models import Model, model
    from vram.plans import Option, Plan, RuledOut, plan
    from vram.speeds import Speed, SpeedFigures, SpeedRange, speed, users_at_speed
    from vram.trainings import Training, train

# Module → its public names; it is imported at first use, so that the command line starts faster.
_MODULES = {
    "capacities": ("Capacity", "Range", "capacity"),
    "estimates": ("Estimate", "estimate"),
    "models": ("Model", "model"),
    "plans": ("Option", "Plan", "RuledOut", "plan"),
    "speeds": ("Speed", "SpeedFigures", "SpeedRange", "speed", "users_at_speed"),
    "trainings": ("Training", "train"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Capacity", "Estimate", "Model", "Option", "Plan", "PlannerError", "Range", "RuledOut", "Speed", "SpeedFigures",
    "SpeedRange", "Training", "__version__", "capacity", "estimate", "model", "plan", "speed", "train",
    "users_at_speed",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"vram.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
