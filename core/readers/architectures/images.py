"""Compute the size of the largest image that a model takes, in tokens, pixel values and patches.

Covers towers whose images have one fixed or one largest size. Source: transformers, processing_*.py of each family, and
for Qwen the preprocessor_config.json of its models.
"""

from __future__ import annotations

from core.model.spec import ImageInput
from core.readers.fields import Fields

_CHANNELS = 3

# Towers whose images have one fixed or one largest size.
_FIXED_SIZE_TOWERS = (
    "siglip_vision_model", "siglip", "clip_vision_model", "pixtral", "internvl_vision", "llama4_vision_model",
)  # fmt: skip
# Towers of Qwen take images up to this many tokens: 12 845 056 pixels of 28 × 28 a token in Qwen2-VL and Qwen2.5-VL,
# 16 777 216 of 32 × 32 from Qwen3-VL on (max_pixels, longest_edge). vLLM logs "profiled with 1 image items" for them.
_QWEN_TOWERS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe")
_QWEN_TOKENS = 16_384
_QWEN_GATED = "qwen2_5"

# Gemma 3 pools each image to this many (transformers models/gemma3/configuration_gemma3.py, mm_tokens_per_image).
_GEMMA3_TOKENS = 256

# Values of a feed-forward block that are alive at once, in widths: its inner values before and after the activation,
# and for a gated one the gate, its activation, the other half and their product (vLLM model_executor/models/
# qwen2_5_vl.py, Qwen2_5_VisionMLP).
_PLAIN_COPIES, _GATED_COPIES = 2, 4

# Gemma 4 takes videos, which are larger than its images: 32 frames of 70 tokens and 8 more around each, each token from
# 3 × 3 patches (vLLM model_executor/models/gemma4_mm.py). transformers computes the tower: of its feed-forward block
# the activation, the other half and their product are alive (models/gemma4/modeling_gemma4.py, Gemma4VisionMLP).
_GEMMA4_FRAMES, _GEMMA4_FRAME_TOKENS, _GEMMA4_AROUND_FRAME, _GEMMA4_POOLED, _GEMMA4_COPIES = 32, 70, 8, 9, 3


def image_input(tower_type: str, tower: Fields, outer: Fields) -> ImageInput | None:
    """Return the largest image, given the fields of the tower and of the whole model (None: no largest size)."""
    family = tower_type.removesuffix("_vision")
    if family in _QWEN_TOWERS:
        return _qwen_image(family, tower)
    if tower_type == "gemma4_vision":
        return _gemma4_video(tower)
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
    copies = _GATED_COPIES if tower_type == "pixtral" else _PLAIN_COPIES
    return (
        ImageInput(
            tokens=tokens,
            pixel_values=_CHANNELS * side * side,
            patches=(side // patch) ** 2,
            tower_width=tower.size("hidden_size"),
            tower_mlp_width=copies * tower.size("intermediate_size"),
        )
        if tokens
        else None
    )


def _qwen_image(family: str, tower: Fields) -> ImageInput:
    is_first = family == "qwen2_vl"  # its `hidden_size` is the decoder's
    width = tower.size("embed_dim" if is_first else "hidden_size")
    mlp_width = tower.size("mlp_ratio") * width if is_first else tower.size("intermediate_size")
    patches = _QWEN_TOKENS * tower.size("spatial_merge_size", 2) ** 2
    frames, side = tower.size("temporal_patch_size", 2), tower.size("patch_size")
    return ImageInput(
        tokens=_QWEN_TOKENS,
        pixel_values=patches * _CHANNELS * frames * side * side,
        patches=patches,
        tower_width=width,
        tower_mlp_width=mlp_width * (_GATED_COPIES if family.startswith(_QWEN_GATED) else _PLAIN_COPIES),
        embeddings=1 + len(tower.listed("deepstack_visual_indexes") or ()),
    )


def _gemma4_video(tower: Fields) -> ImageInput:
    patches = _GEMMA4_FRAMES * _GEMMA4_FRAME_TOKENS * _GEMMA4_POOLED
    return ImageInput(
        tokens=_GEMMA4_FRAMES * (_GEMMA4_FRAME_TOKENS + _GEMMA4_AROUND_FRAME),
        pixel_values=patches * _CHANNELS * tower.size("patch_size", 16) ** 2,
        patches=patches,
        tower_width=tower.size("hidden_size"),
        tower_mlp_width=_GEMMA4_COPIES * tower.size("intermediate_size"),
    )


def _side(value: object) -> int:
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
