"""List the tensors of towers, which turn images or audio into embeddings. Towers have weights but no KV cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.model.tensors import BY_COLUMNS, BY_ROWS, VISION, WHOLE, Tensor, linear
from core.readers.fields import Fields

Tensors = tuple[Tensor, ...]


def dense(name: str, rows: int, columns: int, *, bias: bool = True, split: str = WHOLE) -> Tensors:
    """Return a projection, with its bias vector if it has one."""
    return tuple(replace(tensor, group=VISION) for tensor in linear(name, VISION, rows, columns, split, bias=bias))


def table(name: str, rows: int, columns: int = 1) -> Tensors:
    """Return a learnt tensor that is not a projection (positions, norms …)."""
    return (Tensor(name=name, group=VISION, rows=rows, columns=columns),)


def norm(name: str, size: int, *, bias: bool = True) -> Tensors:
    """Return a layer norm, or without bias a root-mean-square norm."""
    return table(name, size) * (1 + bias)


def encoder_layers(
    name: str,
    layers: int,
    hidden: int,
    width: int,
    *,
    gated: bool = False,
    attention_bias: bool = True,
    output_bias: bool = True,
    mlp_bias: bool = True,
    norm_bias: bool = True,
    kv_width: int | None = None,
    vectors: Sequence[int] = (),
) -> Tensors:
    """Return the layers of a transformer encoder.

    Args:
        width: width of the feed-forward block.
        kv_width: width of all keys, and of all values; None if it is `hidden`.
        vectors: sizes of further vectors of a layer.
    """
    kv = kv_width or hidden
    layer = (
        *dense(f"{name}.self_attn.q_proj", hidden, hidden, bias=attention_bias, split=BY_ROWS),
        *dense(f"{name}.self_attn.k_proj", kv, hidden, bias=attention_bias, split=BY_ROWS),
        *dense(f"{name}.self_attn.v_proj", kv, hidden, bias=attention_bias, split=BY_ROWS),
        *dense(f"{name}.self_attn.o_proj", hidden, hidden, bias=output_bias, split=BY_COLUMNS),
        *(dense(f"{name}.mlp.gate_proj", width, hidden, bias=mlp_bias, split=BY_ROWS) if gated else ()),
        *dense(f"{name}.mlp.up_proj", width, hidden, bias=mlp_bias, split=BY_ROWS),
        *dense(f"{name}.mlp.down_proj", hidden, width, bias=mlp_bias, split=BY_COLUMNS),
        *(2 * norm(f"{name}.layernorm", hidden, bias=norm_bias)),
        *(each for size in vectors for each in table(f"{name}.vector", size)),
    )
    return layer * layers


def _side_pixels(fields: Fields, name: str) -> int:
    """Return the side of an image or patch, which some configs give as a pair."""
    if isinstance(fields.raw(name), (list, tuple)):
        return max(1, fields.sizes(name, (1, 1))[0])
    return fields.size(name)


def _patch_count(fields: Fields) -> int:
    return (_side_pixels(fields, "image_size") // _side_pixels(fields, "patch_size")) ** 2


def _patch_values(fields: Fields) -> int:
    return fields.size("num_channels", 3) * _side_pixels(fields, "patch_size") ** 2


def clip(fields: Fields) -> Tensors:
    """Return CLIP's tower (Radford et al. 2021): a class embedding, norms before and after the layers."""
    hidden = fields.size("hidden_size")
    if fields.given("rope_mode"):
        return minimax_m3(fields)  # it names its tower CLIP, but has rotary positions
    return (
        *table("vision_tower.class_embedding", hidden),
        *dense("vision_tower.patch_embedding", hidden, _patch_values(fields), bias=False),
        *table("vision_tower.position_embedding", _patch_count(fields) + 1, hidden),
        *(2 * norm("vision_tower.layernorm", hidden)),
        *encoder_layers("vision_tower", fields.size("num_hidden_layers"), hidden, fields.size("intermediate_size")),
    )


def siglip(fields: Fields) -> Tensors:
    """Return SigLIP's tower (Zhai et al. 2023, arXiv:2303.15343), with its attention-pooling head if it has one."""
    hidden, width = fields.size("hidden_size"), fields.size("intermediate_size")
    positions = fields.optional("num_patches") or _patch_count(fields)
    head = (
        *table("vision_tower.head.probe", hidden),
        *dense("vision_tower.head.in_proj", 3 * hidden, hidden),
        *dense("vision_tower.head.out_proj", hidden, hidden),
        *norm("vision_tower.head.layernorm", hidden),
        *dense("vision_tower.head.fc1", width, hidden),
        *dense("vision_tower.head.fc2", hidden, width),
    )
    return (
        *dense("vision_tower.patch_embedding", hidden, _patch_values(fields)),
        *table("vision_tower.position_embedding", positions, hidden),
        *encoder_layers("vision_tower", fields.size("num_hidden_layers"), hidden, width),
        *norm("vision_tower.post_layernorm", hidden),
        *(head if fields.flag("vision_use_head", fields.model_type != "siglip_encoder") else ()),
    )


def idefics3(fields: Fields) -> Tensors:
    """Return SigLIP's tower without its head (transformers models/idefics3, models/smolvlm)."""
    return siglip(Fields({**fields.values, "vision_use_head": False}, fields.model_type, nested=True))


def pixtral(fields: Fields) -> Tensors:
    """Return Pixtral's tower (Agrawal et al. 2024, arXiv:2410.07073): gated, no biases, rotary positions."""
    hidden = fields.size("hidden_size")
    return (
        *dense("vision_tower.patch_conv", hidden, _patch_values(fields), bias=False),
        *norm("vision_tower.ln_pre", hidden, bias=False),
        *encoder_layers(
            "vision_tower", fields.size("num_hidden_layers"), hidden, fields.size("intermediate_size"), gated=True,
            attention_bias=False, output_bias=False, mlp_bias=False, norm_bias=False,
        ),
    )  # fmt: skip


def _qwen_patch(fields: Fields, hidden: int, *, bias: bool) -> Tensors:
    channels = fields.optional("in_channels") or fields.optional("in_chans") or 3
    values = channels * fields.size("temporal_patch_size", 2) * fields.size("patch_size") ** 2
    return dense("visual.patch_embed", hidden, values, bias=bias)


def _merger(first: str, second: str, merged: int, out: int) -> Tensors:
    """Return the two projections of merged patches; ranks divide them (vLLM model_executor/models/qwen2_vl.py)."""
    return (*dense(first, merged, merged, split=BY_ROWS), *dense(second, out, merged, split=BY_COLUMNS))


def qwen2_vl(fields: Fields) -> Tensors:
    """Return Qwen2-VL's tower (transformers models/qwen2_vl); its `hidden_size` is the language model's."""
    hidden, out = fields.size("embed_dim"), fields.size("hidden_size")
    merged = hidden * fields.size("spatial_merge_size", 2) ** 2
    return (
        *_qwen_patch(fields, hidden, bias=False),
        *encoder_layers("visual", fields.size("depth"), hidden, fields.size("mlp_ratio") * hidden),
        *norm("visual.merger.ln_q", hidden),
        *_merger("visual.merger.mlp.0", "visual.merger.mlp.2", merged, out),
    )


def qwen2_5_vl(fields: Fields) -> Tensors:
    """Return Qwen2.5-VL's tower (transformers models/qwen2_5_vl): gated, root-mean-square norms."""
    hidden, kv_heads = fields.size("hidden_size"), fields.optional("num_key_value_heads")
    merged = hidden * fields.size("spatial_merge_size", 2) ** 2
    kv = kv_heads * hidden // fields.size("num_heads") if kv_heads else None
    return (
        *_qwen_patch(fields, hidden, bias=False),
        *encoder_layers(
            "visual",
            fields.size("depth"),
            hidden,
            fields.size("intermediate_size"),
            gated=True,
            norm_bias=False,
            kv_width=kv,
        ),
        *norm("visual.merger.ln_q", hidden, bias=False),
        *_merger("visual.merger.mlp.0", "visual.merger.mlp.2", merged, fields.size("out_hidden_size")),
    )


def qwen3_vl(fields: Fields) -> Tensors:
    """Return Qwen3-VL's tower (transformers models/qwen3_vl), with mergers that pass inner layers to the decoder."""
    hidden, out = fields.size("hidden_size"), fields.size("out_hidden_size")
    merged = hidden * fields.size("spatial_merge_size", 2) ** 2
    merger = _merger("visual.merger.linear_fc1", "visual.merger.linear_fc2", merged, out)
    inner = len(fields.listed("deepstack_visual_indexes") or ())
    return (
        *_qwen_patch(fields, hidden, bias=True),
        *table("visual.pos_embed", fields.size("num_position_embeddings"), hidden),
        *encoder_layers("visual", fields.size("depth"), hidden, fields.size("intermediate_size")),
        *norm("visual.merger.norm", hidden),
        *merger,
        *(inner * (*norm("visual.deepstack_merger_list.norm", merged), *merger)),
    )


def glm4v(fields: Fields) -> Tensors:
    """Return GLM-4.1V's tower (transformers models/glm4v)."""
    hidden, out = fields.size("hidden_size"), fields.size("out_hidden_size")
    width, merge = fields.size("intermediate_size"), fields.size("spatial_merge_size", 2)
    bias = fields.flag("attention_bias")
    return (
        *table("visual.position_embedding", _patch_count(fields), hidden),
        *_qwen_patch(fields, hidden, bias=True),
        *encoder_layers("visual", fields.size("depth"), hidden, out, gated=True, attention_bias=bias, output_bias=False,
                        mlp_bias=False, norm_bias=False),
        *(2 * norm("visual.layernorm", hidden, bias=False)),
        *dense("visual.downsample", out, hidden * merge**2),
        *dense("visual.merger.proj", out, out, bias=False),
        *norm("visual.merger.post_projection_norm", out),
        *(2 * dense("visual.merger.up_proj", width, out, bias=False)),
        *dense("visual.merger.down_proj", out, width, bias=False),
    )  # fmt: skip


def llama4(fields: Fields) -> Tensors:
    """Return Llama 4's tower (transformers models/llama4), with the adapter after it."""
    hidden, width = fields.size("hidden_size"), fields.size("intermediate_size")
    middle, out = fields.size("projector_input_dim"), fields.size("projector_output_dim")
    return (
        *table("vision_model.class_embedding", hidden),
        *table("vision_model.positional_embedding_vlm", _patch_count(fields) + 1, hidden),
        *dense("vision_model.patch_embedding", hidden, _patch_values(fields), bias=False),
        *(2 * norm("vision_model.layernorm", hidden)),
        *encoder_layers("vision_model", fields.size("num_hidden_layers"), hidden, width),
        *dense("vision_model.vision_adapter.fc1", middle, width, bias=False),
        *dense("vision_model.vision_adapter.fc2", out, out, bias=False),
    )


def internvit(fields: Fields) -> Tensors:
    """Return InternViT (transformers models/internvl): a scale for each half of a layer."""
    hidden, bias = fields.size("hidden_size"), fields.flag("attention_bias")
    query_norm = (hidden, hidden) if fields.flag("use_qk_norm") else ()
    positions = table("vision_tower.position_embeddings", _patch_count(fields) + 1, hidden)
    use_mask = table("vision_tower.mask_token", hidden) if fields.flag("use_mask_token") else ()
    return (
        *table("vision_tower.cls_token", hidden),
        *(positions if fields.flag("use_absolute_position_embeddings", True) else ()),
        *use_mask,
        *dense("vision_tower.patch_embeddings", hidden, _patch_values(fields)),
        *encoder_layers("vision_tower", fields.size("num_hidden_layers"), hidden, fields.size("intermediate_size"),
                        attention_bias=bias, norm_bias=fields.text("norm_type") != "rms_norm",
                        vectors=(hidden, hidden, *query_norm)),
        *(() if fields.flag("use_mean_pooling", True) else norm("vision_tower.layernorm", hidden)),
    )  # fmt: skip


def mllama(fields: Fields) -> Tensors:
    """Return Llama 3.2 Vision's tower (transformers models/mllama): local and gated global layers, tables for tiles."""
    hidden, width = fields.size("hidden_size"), fields.size("intermediate_size")
    tiles = fields.size("max_num_tiles")
    listed = fields.listed("supported_aspect_ratios")
    ratios = (len(listed) if listed else sum(tiles // wide for wide in range(1, tiles + 1))) + 1
    patches = _patch_count(fields) + 1
    return (
        *table("vision_model.class_embedding", hidden),
        *dense("vision_model.patch_embedding", hidden, _patch_values(fields), bias=False),
        *table("vision_model.gated_positional_embedding", patches, hidden),
        *table("vision_model.gated_positional_embedding.tile_embedding", ratios * tiles * patches, hidden),
        *(2 * table("vision_model.tile_positional_embedding", ratios * tiles, hidden)),
        *(3 * table("vision_model.gate", 1)),
        *(2 * norm("vision_model.layernorm", hidden)),
        *encoder_layers("vision_model.transformer", fields.size("num_hidden_layers"), hidden, width,
                        attention_bias=False, output_bias=False),
        *encoder_layers("vision_model.global_transformer", fields.size("num_global_layers"), hidden, width,
                        attention_bias=False, output_bias=False, vectors=(1, 1)),
    )  # fmt: skip


def gemma4(fields: Fields) -> Tensors:
    """Return Gemma 4's tower (transformers models/gemma4): gated, four norms per layer, a table for each axis."""
    hidden = fields.size("hidden_size")
    head_dim = fields.optional("head_dim") or hidden // fields.size("num_attention_heads")
    return (
        *table("vision_tower.position_embedding_table", 2 * fields.size("position_embedding_size"), hidden),
        *dense("vision_tower.patch_embedder", hidden, _patch_values(fields), bias=False),
        *encoder_layers(
            "vision_tower", fields.size("num_hidden_layers"), hidden, fields.size("intermediate_size"), gated=True,
            attention_bias=False, output_bias=False, mlp_bias=False, norm_bias=False,
            vectors=(hidden, hidden, head_dim, head_dim),
        ),
        *(2 * table("vision_tower.standardize", hidden) if fields.flag("standardize") else ()),
    )  # fmt: skip


def moonvit(fields: Fields) -> Tensors:
    """Return MoonViT (Kimi-VL, arXiv:2504.07491; transformers models/kimi_k25), whose fields may begin with "vt_"."""
    hidden = fields.optional("vt_hidden_size") or fields.size("hidden_size")
    layers = fields.optional("vt_num_hidden_layers") or fields.size("num_hidden_layers")
    width = fields.optional("vt_intermediate_size") or fields.size("intermediate_size")
    positions_high = fields.optional("init_pos_emb_height") or fields.size("pos_emb_height")
    positions_wide = fields.optional("init_pos_emb_width") or fields.size("pos_emb_width")
    return (
        *dense("vision_tower.patch_embed", hidden, _patch_values(fields)),
        *table("vision_tower.pos_emb", positions_high * positions_wide, hidden),
        *encoder_layers("vision_tower", layers, hidden, width),
        *norm("vision_tower.final_layernorm", hidden),
    )


def moonvit_v2(fields: Fields) -> Tensors:
    """Return Kimi K3's tower (vLLM model_executor/models/kimi_k25_vit.py): no biases, wide attention."""
    hidden, wide = fields.size("vt_hidden_size"), fields.size("qkv_hidden_size")
    layers, width = fields.size("vt_num_hidden_layers"), fields.size("vt_intermediate_size")
    layer = (
        *dense("vision_tower.wqkv", 3 * wide, hidden, bias=False, split=BY_ROWS),
        *dense("vision_tower.wo", hidden, wide, bias=False, split=BY_COLUMNS),
        *dense("vision_tower.mlp.fc0", width, hidden, bias=False, split=BY_ROWS),
        *dense("vision_tower.mlp.fc1", hidden, width, bias=False, split=BY_COLUMNS),
        *(2 * norm("vision_tower.norm", hidden, bias=False)),
    )
    return (
        *dense("vision_tower.patch_embed", hidden, _patch_values(fields), bias=False),
        *table("vision_tower.pos_emb", fields.size("init_pos_emb_height") * fields.size("init_pos_emb_width"), hidden),
        *(layer * layers),
        *norm("vision_tower.final_layernorm", hidden, bias=False),
    )


# openai/clip-vit-large-patch14-336, config.json
_CLIP_LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "image_size": 336,
    "patch_size": 14,
}


def phi3_vision(fields: Fields) -> Tensors:
    """Return the tower of Phi-3.5 Vision: CLIP large, whose sizes its config.json does not give."""
    if fields.text("name") != "clip_vision_model":
        problem = f"{fields.text('name')!r} is not a supported tower"
        raise fields.error("name", problem, 'Write "clip_vision_model", or remove img_processor.')
    return clip(Fields(_CLIP_LARGE, fields.model_type, nested=True))


def whisper(fields: Fields) -> Tensors:
    """Return Whisper's audio encoder as in Voxtral and Qwen2-Audio (Radford et al. 2022, arXiv:2212.04356)."""
    hidden = fields.optional("hidden_size") or fields.size("d_model")
    layers = fields.optional("num_hidden_layers") or fields.size("encoder_layers")
    width = fields.optional("intermediate_size") or fields.size("encoder_ffn_dim")
    without_key_bias = [
        tensor for tensor in encoder_layers("audio_tower", layers, hidden, width)
        if tensor.name != "audio_tower.self_attn.k_proj.bias"
    ]  # fmt: skip
    kernel = 3
    return (
        *dense("audio_tower.conv1", hidden, fields.size("num_mel_bins") * kernel),
        *dense("audio_tower.conv2", hidden, hidden * kernel),
        *table("audio_tower.embed_positions", fields.size("max_source_positions"), hidden),
        *without_key_bias,
        *norm("audio_tower.layer_norm", hidden),
    )


def mobilenet_v5(fields: Fields) -> Tensors:
    """Return Gemma 3n's MobileNetV5, whose sizes its config.json does not give.

    Its parameters are Gemma 3n E4B's published 7 849 978 192 minus those of the other parts.
    """
    architecture = fields.text("architecture", _MOBILENET_V5)
    if architecture != _MOBILENET_V5:
        problem = f"{architecture!r} is not a supported tower"
        raise fields.error("architecture", problem, f'Write "{_MOBILENET_V5}", or remove vision_config.')
    return table("vision_tower", _MOBILENET_V5_PARAMETERS)


_MOBILENET_V5, _MOBILENET_V5_PARAMETERS = "mobilenetv5_300m_enc", 294_126_912


def gemma3n_audio(fields: Fields) -> Tensors:
    """Return Gemma 3n's conformer (transformers models/gemma3n, Gemma3nAudioEncoder)."""
    hidden, heads = fields.size("hidden_size"), fields.size("conf_num_attention_heads")
    first, second = fields.sizes("sscp_conv_channel_size", (128, 32))[:2]
    kernel, area = fields.size("conf_conv_kernel_size"), 3 * 3
    feed_forward = (
        *(2 * norm("audio_tower.ffw.norm", hidden, bias=False)),
        *dense("audio_tower.ffw_layer_1", 4 * hidden, hidden, bias=False),
        *dense("audio_tower.ffw_layer_2", hidden, 4 * hidden, bias=False),
    )
    layer = (
        *(2 * feed_forward),
        *(2 * norm("audio_tower.attention.norm", hidden, bias=False)),
        *table("audio_tower.attention.per_dim_scale", hidden // heads),
        *(5 * dense("audio_tower.attention.proj", hidden, hidden, bias=False)),
        *(2 * norm("audio_tower.lconv1d.norm", hidden, bias=False)),
        *dense("audio_tower.lconv1d.linear_start", 2 * hidden, hidden, bias=False),
        *table("audio_tower.lconv1d.depthwise_conv1d", hidden * kernel),
        *dense("audio_tower.lconv1d.linear_end", hidden, hidden, bias=False),
        *norm("audio_tower.norm", hidden, bias=False),
    )
    bands = fields.size("input_feat_size", 128) // 4
    return (
        *table("audio_tower.conv_0", first * area + first),
        *table("audio_tower.conv_1", second * first * area + second),
        *dense("audio_tower.input_proj_linear", hidden, second * bands, bias=False),
        *(layer * fields.size("conf_num_hidden_layers")),
    )


def gemma4_audio(fields: Fields) -> Tensors:
    """Return Gemma 4's conformer (transformers models/gemma4, Gemma4AudioModel)."""
    hidden, heads = fields.size("hidden_size"), fields.size("num_attention_heads")
    first, second = fields.sizes("subsampling_conv_channels", (128, 32))[:2]
    kernel, area, out = fields.size("conv_kernel_size"), 3 * 3, fields.size("output_proj_dims")
    feed_forward = (
        *(2 * norm("audio_tower.ffw.norm", hidden, bias=False)),
        *dense("audio_tower.ffw_layer_1", 4 * hidden, hidden, bias=False),
        *dense("audio_tower.ffw_layer_2", hidden, 4 * hidden, bias=False),
    )
    layer = (
        *(2 * feed_forward),
        *(3 * norm("audio_tower.norm", hidden, bias=False)),
        *table("audio_tower.self_attn.per_dim_scale", hidden // heads),
        *(5 * dense("audio_tower.self_attn.proj", hidden, hidden, bias=False)),
        *(2 * norm("audio_tower.lconv1d.norm", hidden, bias=False)),
        *dense("audio_tower.lconv1d.linear_start", 2 * hidden, hidden, bias=False),
        *table("audio_tower.lconv1d.depthwise_conv1d", hidden * kernel),
        *dense("audio_tower.lconv1d.linear_end", hidden, hidden, bias=False),
    )
    bands = _GEMMA4_MEL_BANDS // 4
    return (
        *table("audio_tower.conv_0", first * area + first),
        *table("audio_tower.conv_1", second * first * area + second),
        *dense("audio_tower.input_proj_linear", hidden, second * bands, bias=False),
        *(layer * fields.size("num_hidden_layers")),
        *dense("audio_tower.output_proj", out, hidden),
    )


_GEMMA4_MEL_BANDS = 128  # transformers models/gemma4/feature_extraction_gemma4.py, feature_size


def gemma4_unified(fields: Fields) -> Tensors:
    """Return Gemma 4 12B's embedder of patches (transformers models/gemma4_unified, Gemma4UnifiedVisionEmbedder)."""
    side = fields.optional("model_patch_size") or fields.size("patch_size", 16) * fields.size("pooling_kernel_size", 3)
    pixels, width = 3 * side**2, fields.size("mm_embed_dim")
    return (
        *norm("vision_embedder.patch_ln1", pixels),
        *dense("vision_embedder.patch_dense", width, pixels),
        *norm("vision_embedder.patch_ln2", width),
        *table("vision_embedder.pos_embedding", 2 * fields.size("mm_posemb_size"), width),
        *norm("vision_embedder.pos_norm", width),
    )


def no_tower(fields: Fields) -> Tensors:
    """Return no tensors: there is only a projector."""
    return ()


def qwen2_5_omni_audio(fields: Fields) -> Tensors:
    """Return Qwen2.5-Omni's audio encoder (transformers models/qwen2_5_omni): Whisper's with computed positions."""
    hidden, out = fields.size("d_model"), fields.size("output_dim")
    encoder = whisper(Fields({**fields.values, "max_source_positions": 1}, fields.model_type, nested=True))
    return (
        *(tensor for tensor in encoder if tensor.name != "audio_tower.embed_positions"),
        *table("audio_tower.audio_bos_eos_token", 2, out),
        *dense("audio_tower.proj", out, hidden),
    )


def qwen3_omni_audio(fields: Fields) -> Tensors:
    """Return Qwen3-Omni's audio encoder (transformers models/qwen3_omni_moe): convolutions over time and bands."""
    hidden, channels, area = fields.size("d_model"), fields.size("downsample_hidden_size"), 3 * 3
    bands = fields.size("num_mel_bins")
    for _ in range(3):
        bands = (bands + 1) // 2
    return (
        *dense("audio_tower.conv2d1", channels, area),
        *(2 * dense("audio_tower.conv2d", channels, channels * area)),
        *dense("audio_tower.conv_out", hidden, channels * bands, bias=False),
        *encoder_layers("audio_tower", fields.size("encoder_layers"), hidden, fields.size("encoder_ffn_dim")),
        *norm("audio_tower.ln_post", hidden),
        *dense("audio_tower.proj1", hidden, hidden),
        *dense("audio_tower.proj2", fields.size("output_dim"), hidden),
    )


def glm_ocr(fields: Fields) -> Tensors:
    """Return GLM-OCR's tower (transformers models/glm_ocr): no table of positions, norms of queries and keys."""
    hidden, out = fields.size("hidden_size"), fields.size("out_hidden_size")
    bias, wide = fields.flag("attention_bias"), out * fields.size("in_channels", 3)
    head_dim = hidden // fields.size("num_heads")
    return (
        *_qwen_patch(fields, hidden, bias=True),
        *encoder_layers(
            "visual", fields.size("depth"), hidden, fields.size("intermediate_size"), gated=True, attention_bias=bias,
            output_bias=bias, mlp_bias=bias, norm_bias=False, vectors=(head_dim, head_dim),
        ),
        *norm("visual.post_layernorm", hidden, bias=False),
        *dense("visual.downsample", out, hidden * fields.size("spatial_merge_size", 2) ** 2),
        *dense("visual.merger.proj", out, out, bias=False),
        *norm("visual.merger.post_projection_norm", out),
        *(2 * dense("visual.merger.up_proj", wide, out, bias=False)),
        *dense("visual.merger.down_proj", out, wide, bias=False),
    )  # fmt: skip


def minimax_m3(fields: Fields) -> Tensors:
    """Return MiniMax-M3's tower (transformers models/minimax_m3_vl): CLIP's layers, rotary positions, frame pairs."""
    hidden = fields.size("hidden_size")
    merge = fields.inside("img_token_compression_config")
    frames = merge.optional("temporal_patch_size") or fields.size("temporal_patch_size", 2)
    return (
        *dense("vision_tower.proj", hidden, _patch_values(fields) * frames, bias=False),
        *norm("vision_tower.pre_layrnorm", hidden),
        *encoder_layers("vision_tower", fields.size("num_hidden_layers"), hidden, fields.size("intermediate_size")),
    )


def step3p5(fields: Fields) -> Tensors:
    """Return Step 3.7's tower (transformers models/step3p7): a scale per half layer, two convolutions at the end."""
    hidden = fields.optional("width") or fields.size("hidden_size")
    layers = fields.optional("layers") or fields.size("num_hidden_layers")
    width = int(hidden * fields.fraction("mlp_ratio", 8960 / 1536))
    area = 3 * 3
    return (
        *dense("vision_model.patch_embedding", hidden, _patch_values(fields), bias=False),
        *table("vision_model.position_embedding", _patch_count(fields), hidden),
        *norm("vision_model.pre_layernorm", hidden),
        *encoder_layers("vision_model", layers, hidden, width, vectors=(hidden, hidden)),
        *dense("vision_model.downsampler1", 2 * hidden, hidden * area),
        *dense("vision_model.downsampler2", 4 * hidden, 2 * hidden * area),
    )


def ernie_vl(fields: Fields) -> Tensors:
    """Return ERNIE 4.5 VL's tower (transformers models/ernie4_5_vl_moe)."""
    hidden = fields.size("hidden_size")
    width = fields.optional("intermediate_size") or fields.size("mlp_ratio", 4) * hidden
    return (
        *dense(
            "vision_tower.patch_embed",
            hidden,
            fields.size("in_channels", 3) * fields.size("patch_size") ** 2,
            bias=False,
        ),
        *encoder_layers("vision_tower", fields.size("depth"), hidden, width),
        *norm("vision_tower.ln", hidden),
    )


def internvit_original(fields: Fields) -> Tensors:
    """Return InternViT, given the field names of OpenGVLab's own config.json."""
    renamed = {"attention_bias": fields.flag("qkv_bias"), "use_qk_norm": fields.flag("qk_normalization")}
    return internvit(Fields({**fields.values, **renamed}, fields.model_type, path=fields.path, nested=True))


_QWEN_VL_QUERIES = 256  # learnt queries, in which an image ends (Qwen-VL, arXiv:2308.12966, section 2.1)


def qwen_vl(fields: Fields, hidden: int) -> Tensors:
    """Return Qwen-VL's tower, OpenCLIP's bigG, and the layer of attention that resamples it to `hidden`.

    Source: vLLM model_executor/models/qwen_vl.py, VisionTransformer and Resampler2.
    """
    width, out = fields.size("width"), fields.optional("output_dim") or hidden
    return (
        *dense("visual.conv1", width, _patch_values(fields), bias=False),
        *table("visual.positional_embedding", _QWEN_VL_QUERIES, width),
        *norm("visual.ln_pre", width),
        *encoder_layers("visual", fields.size("layers"), width, int(width * fields.fraction("mlp_ratio", 4))),
        *(2 * table("visual.attn_pool.query", _QWEN_VL_QUERIES, out)),  # and the fixed positions, stored too
        *dense("visual.attn_pool.kv_proj", out, width, bias=False),
        *dense("visual.attn_pool.in_proj", 3 * out, out),
        *dense("visual.attn_pool.out_proj", out, out),
        *(3 * norm("visual.norm", out)),  # of the queries, of keys and values, and after them
        *dense("visual.proj", out, out, bias=False),
    )
