"""Compute the size of the largest image that a model takes, in tokens and in pixel values.

Covers towers whose images have one fixed or one largest size. Source: transformers, processing_*.py of each family.
"""

from __future__ import annotations

from core.model.spec import ImageInput
from core.readers.fields import Fields

_CHANNELS = 3

# Towers whose images have one fixed or one largest size.
_FIXED_SIZE_TOWERS = (
    "siglip_vision_model", "siglip", "clip_vision_model", "pixtral", "internvl_vision", "llama4_vision_model",
)  # fmt: skip

# Gemma 3 pools each image to this many (transformers models/gemma3/configuration_gemma3.py, mm_tokens_per_image).
_GEMMA3_TOKENS = 256


def image_input(tower_type: str, tower: Fields, outer: Fields) -> ImageInput | None:
    """Return the largest image, given the fields of the tower and of the whole model (None: no largest size)."""
    side, patch = _side(tower.raw("image_size")), _side(tower.raw("patch_size"))
    if tower_type not in _FIXED_SIZE_TOWERS or not side or not patch:
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
