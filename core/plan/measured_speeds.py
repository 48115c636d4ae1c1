"""Read speeds that users measured themselves: each takes the place of the computed speed of one GPU and layout."""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.catalog.gpu_inputs import named_gpu
from core.checks import number
from core.errors import OutOfRangeError, quoted
from core.plan.fleet import LAYOUTS, layout_title

# (name of the GPU, tensor parallel size, pipeline parallel size) → tokens per second of each user.
MeasuredSpeeds = Mapping[tuple[str, int, int], float]

_PLACE = re.compile(r"(?P<gpu>.+):(?P<tp>\d{1,4})(?:x(?P<pp>\d{1,4}))?")


def measured_speeds(given: Mapping[str, object]) -> MeasuredSpeeds:
    """Return the speeds by GPU and layout.

    Args:
        given: "GPU:TP" or "GPU:TPxPP" ("h100:4", "h200:8x2") → tokens per second that each user got there under the
            load that is planned.

    Raises:
        PlannerError: a place or a speed is wrong.
    """
    return {_place(place): number("measured_speed", value) for place, value in given.items()}


def measured_note(measured: MeasuredSpeeds) -> tuple[str, ...]:
    """Return what is assumed of each measured speed."""
    return tuple(
        f"measured_speed: on {gpu}, {layout_title(tp, pp)}, each user gets {value:g} tokens/s, as you measured"
        for (gpu, tp, pp), value in measured.items()
    )


def _place(text: str) -> tuple[str, int, int]:
    found = _PLACE.fullmatch(text.strip())
    if found is None:
        remedy = 'Write the GPU and its layout, for example "h100:4" for TP 4 or "h100:8x2" for TP 8 × PP 2.'
        raise OutOfRangeError("measured_speed", f"{quoted(text)} is not a GPU with a layout", remedy)
    layout = int(found["tp"]), int(found["pp"] or 1)
    if layout not in LAYOUTS:
        menu = ", ".join(f"{tp}x{pp}" for tp, pp in LAYOUTS)
        raise OutOfRangeError(
            "measured_speed", f"{layout[0]}x{layout[1]} is no layout that is planned", f"Write one of {menu}."
        )
    return (named_gpu(found["gpu"]).name, *layout)
