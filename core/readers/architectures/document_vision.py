"""List the tensors of towers for documents and long images: of DeepSeek-OCR, HunyuanOCR, PaddleOCR-VL, MiniCPM-V …"""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import quoted
from core.readers.architectures.vision import Tensors, dense, encoder_layers, norm, siglip, table
from core.readers.fields import Fields

_AREA = 3 * 3


def paddleocr(fields: Fields) -> Tensors:
    """Return PaddleOCR-VL's tower, SigLIP without its head (transformers models/paddleocr_vl)."""
    return siglip(Fields({**fields.values, "vision_use_head": False}, fields.model_type, nested=True))


def paddleocr_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return the projector of PaddleOCR-VL, which merges patches between its norm and its first layer."""
    width = tower.size("hidden_size")
    merged = width * tower.size("spatial_merge_size", 2) ** 2
    return (
        *norm("mlp_AR.pre_norm", width),
        *dense("mlp_AR.linear_1", merged, merged),
        *dense("mlp_AR.linear_2", hidden, merged),
    )


def hunyuan(fields: Fields) -> Tensors:
    """Return HunyuanOCR's tower and the convolutions that merge its patches (transformers models/hunyuan_vl)."""
    hidden, patch = fields.size("hidden_size"), fields.size("patch_size")
    positions = (fields.size("max_image_size", 2048) // patch) ** 2 + 1
    merge = fields.size("spatial_merge_size", 2)
    return (
        *dense("vit.embeddings.patch_embedding", hidden, fields.size("num_channels", 3) * patch**2),
        *table("vit.embeddings.position_embedding", positions, hidden),
        *encoder_layers("vit", fields.size("num_hidden_layers"), hidden, fields.size("intermediate_size")),
        *dense("vit.perceive.proj.0", 2 * hidden, hidden * merge**2),
        *dense("vit.perceive.proj.2", 4 * hidden, 2 * hidden),
        *table("vit.perceive.image_newline", 4 * hidden),
        *norm("vit.perceive.before_rms", hidden, bias=False),
    )


def hunyuan_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return HunyuanOCR's projection to the decoder's width, its three separators and the norm behind it."""
    width = 4 * tower.size("hidden_size")
    return (
        *dense("vit.perceive.mlp", hidden, width),
        *(3 * table("vit.perceive.image_sep", hidden)),
        *norm("vit.perceive.after_rms", hidden, bias=False),
    )


def molmo2(fields: Fields) -> Tensors:
    """Return Molmo2's tower: no class token and no norm behind its layers (transformers models/molmo2)."""
    hidden, patch = fields.size("hidden_size"), fields.optional("image_patch_size") or fields.size("patch_size", 14)
    positions = fields.optional("image_num_pos") or fields.size("num_position_embeddings")
    layers = fields.size("num_hidden_layers")
    return (
        *dense("vision_backbone.patch_embedding", hidden, 3 * patch**2),
        *table("vision_backbone.positional_embedding", positions, hidden),
        *encoder_layers("vision_backbone", layers, hidden, fields.size("intermediate_size")),
    )


def molmo2_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return Molmo2's attention that pools patches, and its gated projector (`adapter_config`)."""
    part = outer.inside("adapter_config")
    width, middle = part.size("hidden_size", 1152), part.size("intermediate_size")
    inner = part.size("num_attention_heads", 16) * part.size("head_dim", 72)
    layers = part.listed("vision_feature_layer") or part.listed("vit_layers") or (24, 18)
    pooled = width * len(layers)
    return (
        *(3 * dense("vision_backbone.image_pooling_2d.wq", inner, pooled)),
        *dense("vision_backbone.image_pooling_2d.wo", width, inner),
        *(2 * dense("vision_backbone.image_projector.w1", middle, width, bias=False)),
        *dense("vision_backbone.image_projector.w2", hidden, middle, bias=False),
    )


def minicpm_resampler(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return MiniCPM-V's layer of attention that resamples patches to some queries (openbmb resampler.py)."""
    return (
        *table("resampler.query", outer.size("query_num", 64), hidden),
        *dense("resampler.kv_proj", hidden, tower.size("hidden_size"), bias=False),
        *dense("resampler.attn.in_proj", 3 * hidden, hidden),
        *dense("resampler.attn.out_proj", hidden, hidden),
        *(3 * norm("resampler.ln", hidden)),
        *dense("resampler.proj", hidden, hidden, bias=False),
    )


def deepseek(fields: Fields) -> Tensors:
    """Return the tower of DeepSeek-OCR (arXiv:2510.18234: SAM's base, 16 × compression, CLIP large) or DeepSeek-VL2."""
    name = fields.text("model_name")
    if name.startswith("siglip"):
        return _deepseek_siglip(fields)
    widths = fields.raw("width")
    sam, clip = (widths.get(key) if isinstance(widths, Mapping) else None for key in ("sam_vit_b", "clip-l-14-224"))
    if name != "deeplip_b_l" or not isinstance(sam, Mapping) or not isinstance(clip, Mapping):
        raise fields.error("model_name", f"{quoted(name)} is not a supported tower", 'Write "deeplip_b_l".')
    inner = Fields(clip, "", path=f"{fields.path}width.clip-l-14-224.", nested=True)
    hidden, patch = inner.size("width"), inner.size("patch_size")
    return (
        *_sam(Fields(sam, "", path=f"{fields.path}width.sam_vit_b.", nested=True), fields.size("image_size")),
        *table("vision_model.class_embedding", hidden),
        *dense("vision_model.patch_embedding", hidden, 3 * patch**2, bias=False),
        *table("vision_model.position_embedding", (inner.size("image_size") // patch) ** 2 + 1, hidden),
        *norm("vision_model.pre_layrnorm", hidden),
        *encoder_layers("vision_model", inner.size("layers"), hidden, 4 * hidden),
    )


_SAM_PATCH, _SAM_WINDOW, _SAM_NECK = 16, 14, 256  # deepseek-ai/DeepSeek-OCR deepencoder.py, build_sam_vit_b


def _sam(fields: Fields, side: int) -> Tensors:
    """Return SAM's tower: tables of relative positions in each layer, larger ones in those with full attention."""
    hidden, layers = fields.size("width"), fields.size("layers")
    head, grid = hidden // fields.size("heads"), side // _SAM_PATCH
    full = len(fields.listed("global_attn_indexes") or ())
    first, second = fields.sizes("downsample_channels", (512, 1024))
    windows = table("sam_model.rel_pos", 2 * _SAM_WINDOW - 1, head)
    wide = table("sam_model.rel_pos", 2 * grid - 1, head)
    return (
        *dense("sam_model.patch_embed", hidden, 3 * _SAM_PATCH**2),
        *table("sam_model.pos_embed", grid**2, hidden),
        *encoder_layers("sam_model", layers, hidden, 4 * hidden),
        *(2 * (layers - full) * windows),
        *(2 * full * wide),
        *dense("sam_model.neck.0", _SAM_NECK, hidden, bias=False),
        *dense("sam_model.neck.2", _SAM_NECK, _SAM_NECK * _AREA, bias=False),
        *(2 * norm("sam_model.neck.norm", _SAM_NECK)),
        *dense("sam_model.net_2", first, _SAM_NECK * _AREA, bias=False),
        *dense("sam_model.net_3", second, first * _AREA, bias=False),
    )


_SO400M_MLP = 4304  # the width that mlp_ratio 3.7362 gives (timm, vit_so400m_patch14_siglip_384)


def _deepseek_siglip(fields: Fields) -> Tensors:
    """Return DeepSeek-VL2's tower, SigLIP SO400M with its pooling head (deepseek_vl2/models/siglip_vit.py)."""
    names = {
        "hidden_size": fields.size("width"), "num_hidden_layers": fields.size("layers"),
        "patch_size": fields.size("patch_size"), "image_size": fields.size("image_size", 384),
        "intermediate_size": _SO400M_MLP,
    }  # fmt: skip
    return siglip(Fields(names, "siglip_vision_model", nested=True))


def deepseek_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return the projector, and the vectors that end lines and separate views (`projector_config`)."""
    part = outer.inside("projector_config")
    width, out = part.size("input_dim"), part.size("n_embed", hidden)
    separators = 2 * table("view_separator", out)
    if part.text("projector_type") == "linear":
        return (*dense("projector.layers", out, width), *separators)
    if part.text("projector_type") != "downsample_mlp_gelu":
        kind = part.text("projector_type")
        raise part.error("projector_type", f"{quoted(kind)} is not supported", 'Write "linear".')
    middle = part.size("mlp_ratio", 1) * out
    merged = width * part.size("downsample_ratio", 2) ** 2
    inner = part.size("depth", 2) - 2
    return (
        *dense("projector.layers.0", middle, merged),
        *(inner * dense("projector.layers.1", middle, middle)),
        *dense("projector.layers.2", out, middle),
        *separators,
    )


def deepseek_vl_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return DeepSeek-VL's projector of two layers (transformers models/deepseek_vl, DeepseekVLAligner)."""
    return (*dense("aligner.linear1", hidden, tower.size("hidden_size")), *dense("aligner.linear2", hidden, hidden))
