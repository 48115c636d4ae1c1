"""The largest image that a model takes: what it becomes in tokens, and the picture's own values.

Only towers that see images of one size, or up to one. Source: transformers, the processing_*.py of each family.
"""

from __future__ import annotations

from core.model.spec import ImageInput
from core.readers.fields import Fields

_CHANNELS = 3

# Towers whose picture has one size, or one largest size.
_FIXED = ("siglip_vision_model", "siglip", "clip_vision_model", "pixtral", "internvl_vision", "llama4_vision_model")

# Gemma 3 pools each picture to so many (transformers models/gemma3/configuration_gemma3.py, mm_tokens_per_image).
_GEMMA3_TOKENS = 256


def image_input(tower_type: str, tower: Fields, outer: Fields) -> ImageInput | None:
    """The largest image, by the tower's fields and those beside it; None where pictures have no such size."""
    side, patch = _side(tower.raw("image_size")), _side(tower.raw("patch_size"))
    if tower_type not in _FIXED or not side or not patch:
        return None
    stated = outer.raw("mm_tokens_per_image")
    if isinstance(stated, int):
        tokens = stated
    elif outer.model_type == "gemma3":
        tokens = _GEMMA3_TOKENS
    else:
        merge = outer.raw("spatial_merge_size")
        ratio = outer.raw("downsample_ratio") or tower.raw("pixel_shuffle_ratio")
        shrink = merge if isinstance(merge, int) else round(1 / ratio) if isinstance(ratio, float) and ratio else 1
        tokens = (side // patch // shrink) ** 2
    return ImageInput(tokens=tokens, pixel_values=_CHANNELS * side * side) if tokens else None


def _side(value: object) -> int:
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
