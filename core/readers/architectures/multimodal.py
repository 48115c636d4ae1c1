"""Models that see or hear: a decoder, the tower in front of it, and the projector between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from core.errors import UnsupportedModelError, quoted
from core.model.spec import CrossAttention, FullAttention, ImageInput, LayerRun, ModelSpec
from core.model.tensors import EMBEDDING, VECTOR, Tensor
from core.readers.architectures import vision
from core.readers.architectures.decoder import attention, dense_mlp, runs
from core.readers.architectures.images import image_input
from core.readers.architectures.llama_like import LLAMA
from core.readers.architectures.vision import Tensors, dense, norm, table
from core.readers.fields import Fields, default_parts, family_defaults

ReadDecoder = Callable[..., ModelSpec]
Projector = Callable[[Fields, Fields, int], Tensors]


@dataclass(frozen=True, kw_only=True)
class Tower:
    """One tower of a composite family.

    Attributes:
        type: its model type where config.json does not name it.
        part: the field that describes it.
        projector: the tensors between it and the decoder, from the outer fields, its own, and the decoder's width.
    """

    type: str
    part: str = "vision_config"
    projector: Projector = lambda outer, tower, hidden: ()


@dataclass(frozen=True, kw_only=True)
class Composite:
    """What a `model_type` with several parts implies.

    Attributes:
        source: where that is written.
        text: the model type of the text part where config.json does not name it.
        towers: its towers; one whose part is not given is left out.
    """

    source: str
    text: str
    towers: tuple[Tower, ...]


def read(config: Mapping[str, object], model_type: str, name: str, read_decoder: ReadDecoder) -> ModelSpec:
    """The model that the config.json of a composite family describes.

    Raises:
        PlannerError: a field is missing, wrong, or not understood.
    """
    if model_type in THINKERS:
        thinker = Fields(config, model_type).part("thinker_config")
        if thinker is None:
            raise UnsupportedModelError("thinker_config", "it is missing", "Give the model's whole config.json.")
        version = {"transformers_version": config.get("transformers_version")}
        config, model_type = {**version, **thinker}, THINKERS[model_type]
    family = TOWERS[model_type]
    outer = Fields(config, model_type, nested=True)
    spec = _text(outer, family, name, read_decoder)
    tensors = [tensor for tower in family.towers for tensor in _tower(outer, tower, spec.hidden_size)]
    for part in _PARTS:
        if part not in {tower.part for tower in family.towers} and outer.values.get(part):
            raise outer.error(part, "this tower is not understood in this family", "Leave it out.")
    images = (_image(outer, tower) for tower in family.towers)
    return replace(spec, extra=(*spec.extra, *tensors), image=next(filter(None, images), None))


_PARTS = ("vision_config", "audio_config", "img_processor")


def _tower(outer: Fields, tower: Tower, hidden_size: int) -> Tensors:
    fields = _tower_fields(outer, tower)
    if fields is None:
        return ()
    if fields.model_type not in vision.TOWERS:
        raise fields.error("model_type", f"{quoted(fields.model_type)} is not a tower that is understood",
                           f"Understood are {', '.join(vision.TOWERS)}.")  # fmt: skip
    return (*vision.TOWERS[fields.model_type](fields), *tower.projector(outer, fields, hidden_size))


def _image(outer: Fields, tower: Tower) -> ImageInput | None:
    fields = _tower_fields(outer, tower)
    return None if fields is None else image_input(fields.model_type, fields, outer)


def _tower_fields(outer: Fields, tower: Tower) -> Fields | None:
    part = outer.part(tower.part)
    if part is None:
        return None
    named = part.get("model_type")
    known = isinstance(named, str) and (named in vision.TOWERS or named not in ("", outer.model_type))
    return Fields(part, str(named) if known else tower.type, path=f"{tower.part}.", nested=True)


def _text(outer: Fields, family: Composite, name: str, read_decoder: ReadDecoder) -> ModelSpec:
    part = outer.part("text_config") or outer.part("llm_config")
    nested = part is not None
    if part is None:  # older configs have the decoder's fields beside the tower's
        part = {key: value for key, value in outer.values.items() if key not in _PARTS}
    model_type = part.get("model_type") if nested else None
    if not isinstance(model_type, str) or not model_type:
        model_type = default_parts(outer.model_type).get("text_config", family.text)
    outer.ignore("tie_word_embeddings")
    if str(outer.values.get("transformers_version")).startswith("5."):
        # Written by a release in which the whole model's word counts, its default too; before it was the text part's.
        part = {**part, "tie_word_embeddings": outer.flag("tie_word_embeddings")}
    if "tie_word_embeddings" not in part:
        if "tie_word_embeddings" in outer.values:
            part = {**part, "tie_word_embeddings": outer.values["tie_word_embeddings"]}
        elif "tie_word_embeddings" not in family_defaults(model_type):
            part = {**part, "tie_word_embeddings": outer.flag("tie_word_embeddings")}
    if outer.model_type == "mllama":
        return _mllama_text(part, name, nested)
    return read_decoder(part, model_type, name, path="text_config." if nested else "", nested=nested)


# Llama 3.2 Vision: every fifth layer looks at the image instead of the text.
_MLLAMA_EXTRA_TOKENS = 8  # rows for image tokens that have no output (transformers MllamaTextModel)


def _mllama_text(part: Mapping[str, object], name: str, nested: bool) -> ModelSpec:
    fields = Fields(part, "mllama_text_model", path="text_config.", nested=nested)
    layers, hidden = fields.size("num_hidden_layers"), fields.size("hidden_size")
    crossing = fields.listed("cross_attention_layers")
    if crossing is None:
        raise fields.error("cross_attention_layers", "it is missing", "Give the list of layers that look at the image.")
    family = replace(LLAMA, qkv_bias=False, output_bias=False, mlp_bias=False)
    own: FullAttention = attention(fields, family)
    mlp = dense_mlp(fields, family)
    cross = CrossAttention(**{**vars(own), "qk_norm": "head"}, encoder_tokens=_MLLAMA_IMAGE_TOKENS)
    gates = 2 * (Tensor(name="cross_attn_gate", group=VECTOR, rows=1),)
    vocabulary = fields.size("vocab_size")
    return ModelSpec(
        name=name,
        hidden_size=hidden,
        vocab_size=vocabulary,
        tie_word_embeddings=False,
        max_position_embeddings=fields.optional("max_position_embeddings"),
        extra=(Tensor(name="embed_tokens.image", group=EMBEDDING, rows=_MLLAMA_EXTRA_TOKENS, columns=hidden),),
        layers=runs(
            [
                LayerRun(count=1, mixer=cross if layer in crossing else own, mlp=mlp,
                         extra=gates if layer in crossing else ())
                for layer in range(layers)
            ]
        ),
    )  # fmt: skip


# Four tiles of 448 pixels in patches of 14, and a class token each (transformers models/mllama, MllamaVisionConfig); an
# engine keeps 1601 tokens a tile (vLLM's mllama: 4 × 1601 = 6404 tokens of cross attention).
_MLLAMA_IMAGE_TOKENS = 4 * 1601


def _two_layers(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """LLaVA's projector (Liu et al. 2023, arXiv:2310.03744)."""
    bias, width = outer.flag("multimodal_projector_bias", True), tower.size("hidden_size")
    chosen = outer.raw("vision_feature_layer")
    width *= len(chosen) if isinstance(chosen, list) else 1
    return (
        *dense("multi_modal_projector.linear_1", hidden, width, bias=bias),
        *dense("multi_modal_projector.linear_2", hidden, hidden, bias=bias),
    )


def _with_newline(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    return (*_two_layers(outer, tower, hidden), *table("image_newline", hidden))


def _merged(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Mistral 3's: patches are merged first."""
    width = tower.size("hidden_size")
    return (
        *norm("multi_modal_projector.norm", width, bias=False),
        *dense(
            "multi_modal_projector.patch_merger", width, width * outer.size("spatial_merge_size", 2) ** 2, bias=False
        ),
        *_two_layers(outer, tower, hidden),
    )


def _gemma3(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.size("hidden_size")
    return (
        *table("multi_modal_projector.mm_input_projection_weight", width, hidden),
        *norm("multi_modal_projector.mm_soft_emb_norm", width, bias=False),
    )


def _one_layer(bias: bool) -> Projector:
    return lambda outer, tower, hidden: dense(
        "multi_modal_projector.linear", hidden, tower.optional("hidden_size") or tower.size("d_model"), bias=bias
    )


def _llama4(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    return dense("multi_modal_projector.linear_1", hidden, tower.size("vision_output_dim"), bias=False)


def _mllama(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    return dense("multi_modal_projector", hidden, tower.size("vision_output_dim"))


def _internvl(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = int(tower.size("hidden_size") / outer.fraction("downsample_ratio", 0.5) ** 2)
    return (
        *norm("multi_modal_projector.layer_norm", width),
        *dense("multi_modal_projector.linear_1", hidden, width),
        *dense("multi_modal_projector.linear_2", hidden, hidden),
    )


def _lfm2(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.size("hidden_size") * outer.size("downsample_factor", 2) ** 2
    middle, bias = outer.size("projector_hidden_size"), outer.flag("projector_bias", True)
    return (
        *(norm("multi_modal_projector.layer_norm", width) if outer.flag("projector_use_layernorm", True) else ()),
        *dense("multi_modal_projector.linear_1", middle, width, bias=bias),
        *dense("multi_modal_projector.linear_2", hidden, middle, bias=bias),
    )


def _shuffled(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """SmolVLM's: pixels are shuffled into channels."""
    width = tower.size("hidden_size") * outer.size("scale_factor", 2) ** 2
    return dense("connector.modality_projection", hidden, width, bias=False)


def _moonvit(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.optional("vt_hidden_size") or tower.size("hidden_size")
    merged = width * math.prod(tower.sizes("merge_kernel_size", (2, 2)))
    return (
        *norm("mm_projector.pre_norm", width),
        *dense("mm_projector.in_proj", merged, merged),
        *dense("mm_projector.out_proj", hidden, merged),
    )


def _moonvit_v2(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    merged = tower.size("vt_hidden_size") * math.prod(tower.sizes("merge_kernel_size", (2, 2)))
    return (
        *dense("mm_projector.linear_1", merged, merged, bias=False),
        *dense("mm_projector.linear_2", hidden, merged, bias=False),
        *norm("mm_projector.post_norm", hidden, bias=False),
    )


def _phi3(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Phi-3 Vision's (vLLM model_executor/models/phi3v.py): four patches side by side, and two learnt separators."""
    merged = 4 * tower.size("image_dim_out")
    return (
        *dense("img_projection.0", hidden, merged),
        *dense("img_projection.2", hidden, hidden),
        *(2 * table("separator", merged)),
    )


def _voxtral(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.optional("intermediate_size") or tower.size("encoder_ffn_dim")
    return (
        *dense("multi_modal_projector.linear_1", hidden, width, bias=False),
        *dense("multi_modal_projector.linear_2", hidden, hidden, bias=False),
    )


def _cohere2(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.size("hidden_size") * outer.size("downsample_factor", 2) ** 2
    middle = outer.size("alignment_intermediate_size")
    return (
        *dense("multi_modal_projector.linear_1", middle, width),
        *dense("multi_modal_projector.linear_2", hidden, middle // 2),
    )


def _gemma4(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.optional("output_proj_dims") or tower.optional("audio_embed_dim") or tower.size("hidden_size")
    return dense("embed_modality.embedding_projection", hidden, width, bias=False)


def _aya(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.size("hidden_size") * outer.size("downsample_factor", 2) ** 2
    middle = outer.optional("alignment_intermediate_size") or hidden
    return (
        *norm("multi_modal_projector.layernorm", width),
        *dense("multi_modal_projector.linear_1", middle, width),
        *dense("multi_modal_projector.linear_2", hidden, middle // 2),
    )


_VIP_LLAVA_LAYERS = 5  # of the tower, read together (transformers models/vipllava/configuration_vipllava.py)


def _vip(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    chosen = outer.raw("vision_feature_layers") or outer.raw("vision_feature_layer")
    count = len(chosen) if isinstance(chosen, list) else 1 if isinstance(chosen, int) else _VIP_LLAVA_LAYERS
    width = tower.size("hidden_size") * count
    return (
        *norm("multi_modal_projector.projector_layernorm", width),
        *dense("multi_modal_projector.linear_1", hidden, width),
        *dense("multi_modal_projector.linear_2", hidden, hidden),
    )


def _idefics2(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Idefics2's projection and resampler (transformers models/idefics2, Idefics2Connector)."""
    part = outer.inside("perceiver_config")
    width, middle = part.size("hidden_size", hidden), outer.inside("text_config").size("intermediate_size", 14336)
    heads, size = part.size("resampler_n_heads", 16), part.size("resampler_head_dim", 96)
    kv = part.size("num_key_value_heads", 4) * size
    layer = (
        *(3 * norm("connector.norm", width, bias=False)),
        *(2 * dense("connector.self_attn.q_proj", heads * size, width, bias=False)),  # queries, and back
        *(2 * dense("connector.self_attn.kv_proj", kv, width, bias=False)),
        *(3 * dense("connector.mlp", 4 * width, width, bias=False)),
    )
    return (
        *(2 * dense("connector.modality_projection.up_proj", middle, tower.size("hidden_size"), bias=False)),
        *dense("connector.modality_projection.down_proj", hidden, middle, bias=False),
        *table("connector.latents", part.size("resampler_n_latents", 64), width),
        *(layer * part.size("resampler_depth", 3)),
        *norm("connector.norm", width, bias=False),
    )


def _two_towers(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Video-LLaVA has the same tower twice, for pictures and for video."""
    return (*vision.TOWERS[tower.model_type](tower), *_two_layers(outer, tower, hidden))


def _source(module: str) -> str:
    return f"transformers models/{module}/modeling_{module}.py"


def _gemma3n(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """An embedding of the modality's special tokens, and the projection of what the tower found."""
    width = tower.size("hidden_size")
    return (
        *table("embed_modality.embedding", tower.size("vocab_size"), width),
        *(2 * norm("embed_modality.norm", width, bias=False)),
        *dense("embed_modality.embedding_projection", hidden, width, bias=False),
    )


def _merged_twice(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """MiniMax-M3's: two layers for each patch, two more for what four patches make together."""
    width, middle = tower.size("hidden_size"), outer.size("projector_hidden_size", hidden)
    merged = hidden * tower.size("spatial_merge_size", 2) ** 2
    return (
        *dense("multi_modal_projector.linear_1", middle, width),
        *dense("multi_modal_projector.linear_2", hidden, middle),
        *dense("multi_modal_projector.merge_linear_1", middle, merged),
        *dense("multi_modal_projector.merge_linear_2", hidden, middle),
    )


def _step3(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.optional("width") or tower.size("hidden_size")
    return dense("multi_modal_projector", hidden, 4 * width, bias=outer.flag("projector_bias"))


def _ernie(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """ERNIE 4.5 VL's resampler (transformers models/ernie4_5_vl_moe): neighbours in space, then in time."""
    width = tower.size("hidden_size") * tower.size("spatial_merge_size", 2) ** 2
    in_time = width * tower.size("temporal_merge_size", 2)
    return (
        *dense("resampler_model.spatial_linear.fc1", width, width),
        *dense("resampler_model.spatial_linear.fc2", width, width),
        *norm("resampler_model.spatial_linear.ln", width),
        *dense("resampler_model.temporal_linear.fc1", width, in_time),
        *dense("resampler_model.temporal_linear.fc2", width, width),
        *norm("resampler_model.temporal_linear.ln", width),
        *dense("resampler_model.mlp", hidden, width),
        *norm("resampler_model.after_norm", hidden, bias=False),
    )


def _sees(source: str, text: str, tower: str, projector: Projector = lambda outer, tower, hidden: ()) -> Composite:
    return Composite(source=_source(source), text=text, towers=(Tower(type=tower, projector=projector),))


def _hears(source: str, text: str, tower: str, projector: Projector) -> Composite:
    return Composite(source=_source(source), text=text,
                     towers=(Tower(type=tower, part="audio_config", projector=projector),))  # fmt: skip


# Models that also speak: the part that understands and writes is what vLLM loads (model_executor/models/
# qwen2_5_omni_thinker.py, qwen3_omni_moe_thinker.py); the parts that make sound of it are left out.
THINKERS = {"qwen2_5_omni": "qwen2_5_omni_thinker", "qwen3_omni_moe": "qwen3_omni_moe_thinker"}

TOWERS: dict[str, Composite] = {
    "llava": _sees("llava", "llama", "clip_vision_model", _two_layers),
    "llava_next": _sees("llava_next", "llama", "clip_vision_model", _with_newline),
    "llava_onevision": _sees("llava_onevision", "qwen2", "siglip_vision_model", _with_newline),
    "mistral3": _sees("mistral3", "mistral", "pixtral", _merged),
    "gemma3": _sees("gemma3", "gemma3_text", "siglip_vision_model", _gemma3),
    "gemma3n": Composite(
        source=_source("gemma3n"), text="gemma3n_text",
        towers=(Tower(type="gemma3n_vision", projector=_gemma3n),
                Tower(type="gemma3n_audio", part="audio_config", projector=_gemma3n)),
    ),
    "gemma4": Composite(
        source=_source("gemma4"), text="gemma4_text",
        towers=(Tower(type="gemma4_vision", projector=_gemma4),
                Tower(type="gemma4_audio", part="audio_config", projector=_gemma4)),
    ),
    "gemma4_unified": Composite(
        source=_source("gemma4_unified"), text="gemma4_unified_text",
        towers=(Tower(type="gemma4_unified_vision", projector=_gemma4),
                Tower(type="gemma4_unified_audio", part="audio_config", projector=_gemma4)),
    ),
    "llava_next_video": _sees("llava_next_video", "llama", "clip_vision_model", _with_newline),
    "vipllava": _sees("vipllava", "llama", "clip_vision_model", _vip),
    "video_llava": _sees("video_llava", "llama", "clip_vision_model", _two_towers),
    "aya_vision": _sees("aya_vision", "cohere2", "siglip_vision_model", _aya),
    "idefics2": _sees("idefics2", "mistral", "idefics2_vision", _idefics2),
    "glm_ocr": _sees("glm_ocr", "glm_ocr_text", "glm_ocr_vision"),
    "shieldgemma2": _sees("gemma3", "gemma3_text", "siglip_vision_model", _gemma3),
    "qwen3_omni_moe_thinker": Composite(
        source=_source("qwen3_omni_moe"), text="qwen3_omni_moe_text",
        towers=(Tower(type="qwen3_omni_moe_vision_encoder"),
                Tower(type="qwen3_omni_moe_audio_encoder", part="audio_config")),
    ),
    "qwen2_5_omni_thinker": Composite(
        source=_source("qwen2_5_omni"), text="qwen2_5_omni_text",
        towers=(Tower(type="qwen2_5_omni_vision_encoder"),
                Tower(type="qwen2_5_omni_audio_encoder", part="audio_config")),
    ),
    "paligemma": _sees("paligemma", "gemma", "siglip_vision_model", _one_layer(True)),
    "llama4": _sees("llama4", "llama4_text", "llama4_vision_model", _llama4),
    "mllama": _sees("mllama", "mllama_text_model", "mllama_vision_model", _mllama),
    "internvl": _sees("internvl", "qwen2", "internvl_vision", _internvl),
    "internvl_chat": _sees("internvl", "qwen2", "intern_vit_6b", _internvl),
    "lfm2_vl": _sees("lfm2_vl", "lfm2", "siglip2_vision_model", _lfm2),
    "idefics3": _sees("idefics3", "llama", "idefics3_vision", _shuffled),
    "smolvlm": _sees("smolvlm", "llama", "smolvlm_vision", _shuffled),
    "qwen2_vl": _sees("qwen2_vl", "qwen2_vl_text", "qwen2_vl_vision"),
    "qwen2_5_vl": _sees("qwen2_5_vl", "qwen2_5_vl_text", "qwen2_5_vl_vision"),
    "qwen3_vl": _sees("qwen3_vl", "qwen3_vl_text", "qwen3_vl_vision"),
    "qwen3_vl_moe": _sees("qwen3_vl_moe", "qwen3_vl_moe_text", "qwen3_vl_moe_vision"),
    "qwen3_5": _sees("qwen3_5", "qwen3_5_text", "qwen3_5_vision"),
    "qwen3_5_moe": _sees("qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_moe_vision"),
    "glm4v": _sees("glm4v", "glm4v_text", "glm4v_vision"),
    "glm46v": _sees("glm46v", "glm4v_text", "glm4v_vision"),
    "glmga": _sees("glm46v", "glm4v_text", "glm4v_vision"),
    "glm4v_moe": _sees("glm4v_moe", "glm4v_moe_text", "glm4v_moe_vision"),
    "exaone4_5": _sees("exaone4_5", "exaone4_5_text", "exaone4_5_vision"),
    "kimi_vl": _sees("kimi_k25", "deepseek_v3", "moonvit", _moonvit),
    "kimi_k25": _sees("kimi_k25", "kimi_k2", "kimi_k25_vision", _moonvit),
    "kimi_k3": _sees("kimi_linear", "kimi_linear", "kimi_k3_vision", _moonvit_v2),
    "phi3_v": Composite(source="vLLM model_executor/models/phi3v.py", text="phi3",
                        towers=(Tower(type="phi3_v_vision", part="img_processor", projector=_phi3),)),
    "minimax_m3_vl": _sees("minimax_m3_vl", "minimax_m3_vl_text", "minimax_m3_vl_vision", _merged_twice),
    "step3p7": _sees("step3p7", "step3p5", "step3p5_vision", _step3),
    "ernie4_5_vl_moe": _sees("ernie4_5_vl_moe", "ernie4_5_vl_moe_text", "ernie4_5_vl_moe_vision", _ernie),
    "cohere2_vision": _sees("cohere2_vision", "cohere2", "siglip_vision_model", _cohere2),
    "voxtral": _hears("voxtral", "llama", "voxtral_encoder", _voxtral),
    "qwen2_audio": _hears("qwen2_audio", "qwen2", "qwen2_audio_encoder", _one_layer(True)),
}  # fmt: skip
