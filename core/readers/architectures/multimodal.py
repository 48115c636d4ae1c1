"""Read models with image or audio input: a decoder, the towers in front of it, and the projectors between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from core.errors import UnsupportedModelError, quoted
from core.model.mixers import PER_HEAD, CrossAttention, FullAttention
from core.model.spec import ImageInput, LayerRun, ModelSpec
from core.model.tensors import EMBEDDING, MLP, VECTOR, WHOLE, Tensor, linear
from core.readers.architectures import document_vision, speech
from core.readers.architectures.decoder import attention, dense_mlp, hf_source, merge_equal_layers
from core.readers.architectures.images import image_input
from core.readers.architectures.llama_like import NO_BIAS
from core.readers.architectures.towers import TOWERS
from core.readers.architectures.vision import Tensors, dense, norm, table
from core.readers.fields import Fields, default_parts, family_defaults

ReadDecoder = Callable[..., ModelSpec]
Projector = Callable[[Fields, Fields, int], Tensors]


@dataclass(frozen=True, kw_only=True)
class Tower:
    """A tower of a composite family.

    Attributes:
        type: its model type where config.json does not give one.
        part: the field that describes it.
        projector: returns the tensors between it and the decoder, given the fields of the whole model, those of the
            tower, and the decoder's hidden size.
    """

    type: str
    part: str = "vision_config"
    projector: Projector = lambda outer, tower, hidden: ()


@dataclass(frozen=True, kw_only=True)
class Composite:
    """The facts about a `model_type` with several parts.

    Attributes:
        source: the file that defines the architecture.
        text: the model type of the text part where config.json does not give one.
        towers: its towers; a tower whose part is missing in config.json is left out.
        not_counted: parts that no tower here describes; what a config.json has of them is named in the answer.
        joined: returns the tensors between the decoder and another model, given the fields of the whole model and the
            decoder's hidden size.
    """

    source: str
    text: str
    towers: tuple[Tower, ...] = ()
    not_counted: tuple[str, ...] = ()
    joined: Callable[[Fields, int], Tensors] = lambda outer, hidden: ()


def read(config: Mapping[str, object], model_type: str, name: str, read_decoder: ReadDecoder) -> ModelSpec:
    """Return the model that the config.json of a composite family describes.

    Raises:
        PlannerError: a field is missing, wrong, or not supported.
    """
    if model_type in THINKERS:
        thinker = Fields(config, model_type).part("thinker_config")
        if thinker is None:
            raise UnsupportedModelError("thinker_config", "it is missing", "Give the model's complete config.json.")
        version = {"transformers_version": config.get("transformers_version")}
        config, model_type = {**version, **thinker}, THINKERS[model_type]
    family = COMPOSITES[model_type]
    outer = Fields(config, model_type, nested=True)
    spec = _text_spec(outer, family, name, read_decoder)
    tensors = [tensor for tower in family.towers for tensor in _tower_tensors(outer, tower, spec.hidden_size)]
    for part in _TOWER_PARTS:
        known = (*family.not_counted, *(tower.part for tower in family.towers))
        if part not in known and outer.values.get(part):
            raise outer.error(part, f"this tower is not supported for {model_type}", "Remove it.")
    missing = [tower.part for tower in family.towers if tower.part not in outer.values]
    left_out = [part for part in family.not_counted if outer.part(part)]
    spec = replace(spec, notes=(*spec.notes, *(f"{part}: this part of the model is left out" for part in left_out)))
    if missing and len(missing) == len(family.towers):
        spec = replace(spec, notes=(*spec.notes, f"{missing[0]}: it is missing; text alone was counted"))
    images = (_image(outer, tower) for tower in family.towers)
    tensors += family.joined(outer, spec.hidden_size)
    return replace(spec, extra=(*spec.extra, *tensors), image=next(filter(None, images), None))


_TEXT_PARTS = ("text_config", "llm_config", "language_config")
_TOWER_PARTS = ("vision_config", "audio_config", "img_processor")


def _tower_tensors(outer: Fields, tower: Tower, hidden_size: int) -> Tensors:
    fields = _tower_fields(outer, tower)
    if fields is None:
        return ()
    if fields.model_type not in TOWERS:
        raise fields.error("model_type", f"{quoted(fields.model_type)} is not a supported tower",
                           f"Remove {tower.part} to count the model without it.")  # fmt: skip
    return (*TOWERS[fields.model_type](fields), *tower.projector(outer, fields, hidden_size))


def _image(outer: Fields, tower: Tower) -> ImageInput | None:
    fields = _tower_fields(outer, tower)
    return None if fields is None else image_input(fields.model_type, fields, outer)


def _tower_fields(outer: Fields, tower: Tower) -> Fields | None:
    part = outer.part(tower.part)
    if part is None:
        return None
    given = part.get("model_type")
    # Fine-tunes that transformers 4.4x saved give the whole model's type to the tower, whose defaults it does not have.
    usable = isinstance(given, str) and given not in ("", outer.model_type)
    return Fields(part, str(given) if usable else tower.type, path=f"{tower.part}.", nested=True)


def _text_spec(outer: Fields, family: Composite, name: str, read_decoder: ReadDecoder) -> ModelSpec:
    key = next((key for key in _TEXT_PARTS if outer.part(key)), "")
    part, nested = outer.part(key), bool(key)
    if part is None:  # older configs have the decoder's fields at the top
        part = {key: value for key, value in outer.values.items() if key not in _TOWER_PARTS}
    model_type = part.get("model_type") if nested else None
    if outer.model_type in ("minicpmv", "minicpmo"):
        model_type = _MINICPM_DECODERS.get(outer.text("version"), family.text)
    if not isinstance(model_type, str) or not model_type:
        model_type = default_parts(outer.model_type).get("text_config", family.text)
    outer.ignore("tie_word_embeddings")
    if str(outer.values.get("transformers_version")).startswith("5."):
        # Since release 5 the field of the whole model decides, also its default; before it was that of the text part.
        part = {**part, "tie_word_embeddings": outer.flag("tie_word_embeddings")}
    if "tie_word_embeddings" not in part:
        if "tie_word_embeddings" in outer.values:
            part = {**part, "tie_word_embeddings": outer.values["tie_word_embeddings"]}
        elif "tie_word_embeddings" not in family_defaults(model_type):
            part = {**part, "tie_word_embeddings": outer.flag("tie_word_embeddings")}
    if outer.model_type == "mllama":
        return _mllama_spec(part, name, nested)
    return read_decoder(part, model_type, name, path=f"{key}." if nested else "", nested=nested)


# The decoders of MiniCPM-V by the version in its config.json; others have Qwen2's (openbmb, modeling_minicpmv.py).
_MINICPM_DECODERS = {"2.0": "minicpm", "2.5": "llama", "4.0": "llama", "4": "llama", "4.5": "qwen3"}

# Llama 3.2 Vision: every fifth layer attends to the image instead of the text.
_MLLAMA_EXTRA_TOKENS = 8  # embedding rows of image tokens, which have no output (transformers MllamaTextModel)
# Four tiles of 448 pixels in patches of 14, and a class token each (transformers models/mllama, MllamaVisionConfig).
# vLLM caches 1601 tokens per tile (model_executor/models/mllama.py: 4 × 1601 = 6404 tokens of cross attention).
_MLLAMA_IMAGE_TOKENS = 4 * 1601


def _mllama_spec(part: Mapping[str, object], name: str, nested: bool) -> ModelSpec:
    fields = Fields(part, "mllama_text_model", path="text_config.", nested=nested)
    layers, hidden = fields.size("num_hidden_layers"), fields.size("hidden_size")
    cross_layers = fields.listed("cross_attention_layers")
    if cross_layers is None:
        raise fields.error("cross_attention_layers", "it is missing", "List the layers that attend to the image.")
    full: FullAttention = attention(fields, NO_BIAS)
    mlp = dense_mlp(fields, NO_BIAS)
    cross = CrossAttention(**{**vars(full), "qk_norm": PER_HEAD}, encoder_tokens=_MLLAMA_IMAGE_TOKENS)
    gates = 2 * (Tensor(name="cross_attn_gate", group=VECTOR, rows=1),)
    vocabulary = fields.size("vocab_size")
    return ModelSpec(
        name=name,
        hidden_size=hidden,
        vocab_size=vocabulary,
        tie_word_embeddings=False,
        max_position_embeddings=fields.optional("max_position_embeddings"),
        extra=(Tensor(name="embed_tokens.image", group=EMBEDDING, rows=_MLLAMA_EXTRA_TOKENS, columns=hidden),),
        layers=merge_equal_layers(
            [
                LayerRun(count=1, mixer=cross if layer in cross_layers else full, mlp=mlp,
                         extra=gates if layer in cross_layers else ())
                for layer in range(layers)
            ]
        ),
    )  # fmt: skip


def _llava_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return LLaVA's projector, two linear layers (Liu et al. 2023, arXiv:2310.03744)."""
    bias, width = outer.flag("multimodal_projector_bias", True), tower.size("hidden_size")
    feature_layers = outer.raw("vision_feature_layer")
    width *= len(feature_layers) if isinstance(feature_layers, list) else 1
    return (
        *dense("multi_modal_projector.linear_1", hidden, width, bias=bias),
        *dense("multi_modal_projector.linear_2", hidden, hidden, bias=bias),
    )


def _llava_next_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    return (*_llava_projector(outer, tower, hidden), *table("image_newline", hidden))


def _mistral3_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return Mistral 3's projector: LLaVA's after merging patches."""
    width = tower.size("hidden_size")
    return (
        *norm("multi_modal_projector.norm", width, bias=False),
        *dense(
            "multi_modal_projector.patch_merger", width, width * outer.size("spatial_merge_size", 2) ** 2, bias=False
        ),
        *_llava_projector(outer, tower, hidden),
    )


def _gemma3_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.size("hidden_size")
    return (
        *table("multi_modal_projector.mm_input_projection_weight", width, hidden),
        *norm("multi_modal_projector.mm_soft_emb_norm", width, bias=False),
    )


def _linear_projector(bias: bool) -> Projector:
    return lambda outer, tower, hidden: dense(
        "multi_modal_projector.linear", hidden, tower.optional("hidden_size") or tower.size("d_model"), bias=bias
    )


def _llama4_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    return dense("multi_modal_projector.linear_1", hidden, tower.size("vision_output_dim"), bias=False)


def _mllama_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    return dense("multi_modal_projector", hidden, tower.size("vision_output_dim"))


def _internvl_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = int(tower.size("hidden_size") / outer.fraction("downsample_ratio", 0.5) ** 2)
    return (
        *norm("multi_modal_projector.layer_norm", width),
        *dense("multi_modal_projector.linear_1", hidden, width),
        *dense("multi_modal_projector.linear_2", hidden, hidden),
    )


def _lfm2_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.size("hidden_size") * outer.size("downsample_factor", 2) ** 2
    middle, bias = outer.size("projector_hidden_size"), outer.flag("projector_bias", True)
    return (
        *(norm("multi_modal_projector.layer_norm", width) if outer.flag("projector_use_layernorm", True) else ()),
        *dense("multi_modal_projector.linear_1", middle, width, bias=bias),
        *dense("multi_modal_projector.linear_2", hidden, middle, bias=bias),
    )


def _idefics3_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return the projector of Idefics3 and SmolVLM, which first shuffles pixels into channels."""
    width = tower.size("hidden_size") * outer.size("scale_factor", 2) ** 2
    return dense("connector.modality_projection", hidden, width, bias=False)


def _moonvit_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.optional("vt_hidden_size") or tower.size("hidden_size")
    merged = width * math.prod(tower.sizes("merge_kernel_size", (2, 2)))
    return (
        *norm("mm_projector.pre_norm", width),
        *dense("mm_projector.in_proj", merged, merged),
        *dense("mm_projector.out_proj", hidden, merged),
    )


def _moonvit_v2_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    merged = tower.size("vt_hidden_size") * math.prod(tower.sizes("merge_kernel_size", (2, 2)))
    return (
        *dense("mm_projector.linear_1", merged, merged, bias=False),
        *dense("mm_projector.linear_2", hidden, merged, bias=False),
        *norm("mm_projector.post_norm", hidden, bias=False),
    )


def _phi3_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return Phi-3 Vision's projector of four patches, and two learnt separators (vLLM models/phi3v.py)."""
    merged = 4 * tower.size("image_dim_out")
    return (
        *dense("img_projection.0", hidden, merged),
        *dense("img_projection.2", hidden, hidden),
        *(2 * table("separator", merged)),
    )


def _voxtral_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.optional("intermediate_size") or tower.size("encoder_ffn_dim")
    return (
        *dense("multi_modal_projector.linear_1", hidden, width, bias=False),
        *dense("multi_modal_projector.linear_2", hidden, hidden, bias=False),
    )


def _cohere2_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.size("hidden_size") * outer.size("downsample_factor", 2) ** 2
    middle = outer.size("alignment_intermediate_size")
    return (
        *dense("multi_modal_projector.linear_1", middle, width),
        *dense("multi_modal_projector.linear_2", hidden, middle // 2),
    )


def _gemma4_draft_projections(outer: Fields, hidden: int) -> Tensors:
    """Return the projections from the model's embedding and hidden state and back, and the clusters of tokens.

    Source: transformers models/gemma4_assistant, vLLM pull request 41745: only the smallest models have clusters.
    """
    backbone = outer.size("backbone_hidden_size")
    clusters = outer.size("num_centroids", 2048) if outer.flag("use_ordered_embeddings") else 0
    outer.ignore("num_centroids", "centroid_intermediate_top_k", "block_size", "vocab_size")
    return (
        *linear("pre_projection", MLP, hidden, 2 * backbone, WHOLE),
        *linear("post_projection", MLP, backbone, hidden, WHOLE),
        *(linear("masked_embedding.centroids", MLP, clusters, hidden, WHOLE) if clusters else ()),
    )


def _gemma4_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.optional("output_proj_dims") or tower.optional("audio_embed_dim") or tower.size("hidden_size")
    return dense("embed_modality.embedding_projection", hidden, width, bias=False)


def _aya_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.size("hidden_size") * outer.size("downsample_factor", 2) ** 2
    middle = outer.optional("alignment_intermediate_size") or hidden
    return (
        *norm("multi_modal_projector.layernorm", width),
        *dense("multi_modal_projector.linear_1", middle, width),
        *dense("multi_modal_projector.linear_2", hidden, middle // 2),
    )


_VIP_LLAVA_LAYERS = 5  # layers of the tower that are used (transformers models/vipllava/configuration_vipllava.py)


def _vip_llava_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    layers = outer.raw("vision_feature_layers") or outer.raw("vision_feature_layer")
    count = len(layers) if isinstance(layers, list) else 1 if isinstance(layers, int) else _VIP_LLAVA_LAYERS
    width = tower.size("hidden_size") * count
    return (
        *norm("multi_modal_projector.projector_layernorm", width),
        *dense("multi_modal_projector.linear_1", hidden, width),
        *dense("multi_modal_projector.linear_2", hidden, hidden),
    )


def _idefics2_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return Idefics2's projection and resampler (transformers models/idefics2, Idefics2Connector)."""
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


def _video_llava_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return Video-LLaVA's projector, and its second tower, for video, which equals the first, for images."""
    return (*TOWERS[tower.model_type](tower), *_llava_projector(outer, tower, hidden))


def _gemma3n_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return Gemma 3n's embedding of the modality's special tokens, and its projector."""
    width = tower.size("hidden_size")
    return (
        *table("embed_modality.embedding", tower.size("vocab_size"), width),
        *(2 * norm("embed_modality.norm", width, bias=False)),
        *dense("embed_modality.embedding_projection", hidden, width, bias=False),
    )


def _minimax_m3_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return MiniMax-M3's projector: two layers for each patch, and two for four patches merged."""
    width, middle = tower.size("hidden_size"), outer.size("projector_hidden_size", hidden)
    merged = hidden * tower.size("spatial_merge_size", 2) ** 2
    return (
        *dense("multi_modal_projector.linear_1", middle, width),
        *dense("multi_modal_projector.linear_2", hidden, middle),
        *dense("multi_modal_projector.merge_linear_1", middle, merged),
        *dense("multi_modal_projector.merge_linear_2", hidden, middle),
    )


def _step3_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    width = tower.optional("width") or tower.size("hidden_size")
    return dense("multi_modal_projector", hidden, 4 * width, bias=outer.flag("projector_bias"))


def _ernie_projector(outer: Fields, tower: Fields, hidden: int) -> Tensors:
    """Return ERNIE 4.5 VL's resampler, which merges in space, then in time (transformers models/ernie4_5_vl_moe)."""
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


def _vision(source: str, text: str, tower: str, projector: Projector = lambda outer, tower, hidden: ()) -> Composite:
    return Composite(source=hf_source(source), text=text, towers=(Tower(type=tower, projector=projector),))


def _audio(source: str, text: str, tower: str, projector: Projector = lambda outer, tower, hidden: ()) -> Composite:
    return Composite(source=hf_source(source), text=text,
                     towers=(Tower(type=tower, part="audio_config", projector=projector),))  # fmt: skip


# Models with audio output. Only their text part counts, as in vLLM (model_executor/models/qwen2_5_omni_thinker.py,
# qwen3_omni_moe_thinker.py), which does not load the parts that produce audio.
THINKERS = {"qwen2_5_omni": "qwen2_5_omni_thinker", "qwen3_omni_moe": "qwen3_omni_moe_thinker"}

COMPOSITES: dict[str, Composite] = {
    "llava": _vision("llava", "llama", "clip_vision_model", _llava_projector),
    "llava_next": _vision("llava_next", "llama", "clip_vision_model", _llava_next_projector),
    "llava_onevision": _vision("llava_onevision", "qwen2", "siglip_vision_model", _llava_next_projector),
    "mistral3": _vision("mistral3", "mistral", "pixtral", _mistral3_projector),
    "gemma3": _vision("gemma3", "gemma3_text", "siglip_vision_model", _gemma3_projector),
    "gemma3n": Composite(
        source=hf_source("gemma3n"), text="gemma3n_text",
        towers=(Tower(type="gemma3n_vision", projector=_gemma3n_projector),
                Tower(type="gemma3n_audio", part="audio_config", projector=_gemma3n_projector)),
    ),
    "gemma4": Composite(
        source=hf_source("gemma4"), text="gemma4_text",
        towers=(Tower(type="gemma4_vision", projector=_gemma4_projector),
                Tower(type="gemma4_audio", part="audio_config", projector=_gemma4_projector)),
    ),
    "gemma4_assistant": Composite(
        source="vLLM model_executor/models/gemma4_mtp.py", text="gemma4_text", joined=_gemma4_draft_projections
    ),
    "gemma4_unified": Composite(
        source=hf_source("gemma4_unified"), text="gemma4_unified_text",
        towers=(Tower(type="gemma4_unified_vision", projector=_gemma4_projector),
                Tower(type="gemma4_unified_audio", part="audio_config", projector=_gemma4_projector)),
    ),
    "llava_next_video": _vision("llava_next_video", "llama", "clip_vision_model", _llava_next_projector),
    "vipllava": _vision("vipllava", "llama", "clip_vision_model", _vip_llava_projector),
    "video_llava": _vision("video_llava", "llama", "clip_vision_model", _video_llava_projector),
    "aya_vision": _vision("aya_vision", "cohere2", "siglip_vision_model", _aya_projector),
    "idefics2": _vision("idefics2", "mistral", "idefics2_vision", _idefics2_projector),
    "glm_ocr": _vision("glm_ocr", "glm_ocr_text", "glm_ocr_vision"),
    "shieldgemma2": _vision("gemma3", "gemma3_text", "siglip_vision_model", _gemma3_projector),
    "qwen3_omni_moe_thinker": Composite(
        source=hf_source("qwen3_omni_moe"), text="qwen3_omni_moe_text",
        towers=(Tower(type="qwen3_omni_moe_vision_encoder"),
                Tower(type="qwen3_omni_moe_audio_encoder", part="audio_config")),
    ),
    "qwen2_5_omni_thinker": Composite(
        source=hf_source("qwen2_5_omni"), text="qwen2_5_omni_text",
        towers=(Tower(type="qwen2_5_omni_vision_encoder"),
                Tower(type="qwen2_5_omni_audio_encoder", part="audio_config")),
    ),
    "paligemma": _vision("paligemma", "gemma", "siglip_vision_model", _linear_projector(True)),
    "llama4": _vision("llama4", "llama4_text", "llama4_vision_model", _llama4_projector),
    "mllama": _vision("mllama", "mllama_text_model", "mllama_vision_model", _mllama_projector),
    "internvl": _vision("internvl", "qwen2", "internvl_vision", _internvl_projector),
    "internvl_chat": _vision("internvl", "qwen2", "intern_vit_6b", _internvl_projector),
    "lfm2_vl": _vision("lfm2_vl", "lfm2", "siglip2_vision_model", _lfm2_projector),
    "idefics3": _vision("idefics3", "llama", "idefics3_vision", _idefics3_projector),
    "smolvlm": _vision("smolvlm", "llama", "smolvlm_vision", _idefics3_projector),
    "qwen2_vl": _vision("qwen2_vl", "qwen2_vl_text", "qwen2_vl_vision"),
    "qwen2_5_vl": _vision("qwen2_5_vl", "qwen2_5_vl_text", "qwen2_5_vl_vision"),
    "qwen3_vl": _vision("qwen3_vl", "qwen3_vl_text", "qwen3_vl_vision"),
    "qwen3_vl_moe": _vision("qwen3_vl_moe", "qwen3_vl_moe_text", "qwen3_vl_moe_vision"),
    "qwen3_5": _vision("qwen3_5", "qwen3_5_text", "qwen3_5_vision"),
    "qwen3_5_moe": _vision("qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_moe_vision"),
    "glm4v": _vision("glm4v", "glm4v_text", "glm4v_vision"),
    "glm46v": _vision("glm46v", "glm4v_text", "glm4v_vision"),
    "glmga": _vision("glm46v", "glm4v_text", "glm4v_vision"),
    "glm4v_moe": _vision("glm4v_moe", "glm4v_moe_text", "glm4v_moe_vision"),
    "exaone4_5": _vision("exaone4_5", "exaone4_5_text", "exaone4_5_vision"),
    "kimi_vl": _vision("kimi_k25", "deepseek_v3", "moonvit", _moonvit_projector),
    "kimi_k25": _vision("kimi_k25", "kimi_k2", "kimi_k25_vision", _moonvit_projector),
    "kimi_k3": _vision("kimi_linear", "kimi_linear", "kimi_k3_vision", _moonvit_v2_projector),
    "phi3_v": Composite(source="vLLM model_executor/models/phi3v.py", text="phi3",
                        towers=(Tower(type="phi3_v_vision", part="img_processor", projector=_phi3_projector),)),
    "minimax_m3_vl": _vision("minimax_m3_vl", "minimax_m3_vl_text", "minimax_m3_vl_vision", _minimax_m3_projector),
    "step3p7": _vision("step3p7", "step3p5", "step3p5_vision", _step3_projector),
    "ernie4_5_vl_moe": _vision("ernie4_5_vl_moe", "ernie4_5_vl_moe_text", "ernie4_5_vl_moe_vision", _ernie_projector),
    "cohere2_vision": _vision("cohere2_vision", "cohere2", "siglip_vision_model", _cohere2_projector),
    "paddleocr_vl": _vision("paddleocr_vl", "paddleocr_vl_text", "paddleocr_vl_vision",
                            document_vision.paddleocr_projector),
    "hunyuan_vl": _vision("hunyuan_vl", "hunyuan_vl_text", "hunyuan_vl_vision", document_vision.hunyuan_projector),
    "molmo2": _vision("molmo2", "molmo2_text", "molmo2_vision", document_vision.molmo2_projector),
    "deepseek_vl_v2": Composite(
        source="deepseek-ai/DeepSeek-OCR modeling_deepseekocr.py; DeepSeek-VL2 modeling_deepseek_vl_v2.py",
        text="deepseek_v2", towers=(Tower(type="deepseek_vl_v2_vision", projector=document_vision.deepseek_projector),),
    ),
    "minicpmv": Composite(
        source="openbmb/MiniCPM-V-2_6 modeling_minicpmv.py", text="qwen2",
        towers=(Tower(type="siglip_vision_model", projector=document_vision.minicpm_resampler),),
    ),
    "minicpmo": Composite(
        source="openbmb/MiniCPM-o-2_6 modeling_minicpmo.py", text="qwen2",
        towers=(Tower(type="siglip_vision_model", projector=document_vision.minicpm_resampler),),
        not_counted=("audio_config", "tts_config"),
    ),
    "qwen3_asr": _audio("qwen3_asr", "qwen3", "qwen3_asr_encoder"),
    "voxtral_realtime": _audio("voxtral_realtime", "voxtral_realtime_text", "voxtral_realtime_encoder",
                               speech.voxtral_realtime_projector),
    # The decoder is counted; the towers are named in the answer.
    "phi4_multimodal": Composite(source=hf_source("phi4_multimodal"), text="phi3",
                                 not_counted=("vision_config", "audio_config")),
    "phi4mm": Composite(source="microsoft/Phi-4-multimodal-instruct modeling_phi4mm.py", text="phi3",
                        not_counted=("img_processor", "audio_processor", "embd_layer", "vision_lora", "speech_lora")),
    "nemotron_h_omni": Composite(source=hf_source("nemotron_h_omni"), text="nemotron_h",
                                 not_counted=("vision_config", "audio_config", "sound_config")),
    "NemotronH_Nano_VL_V2": Composite(source="vLLM model_executor/models/nano_nemotron_vl.py", text="nemotron_h",
                                      not_counted=("vision_config", "sound_config")),
    "mimo_v2": Composite(source=hf_source("mimo_v2_flash"), text="mimo_v2_flash",
                         not_counted=("vision_config", "audio_config")),
    "minicpmv4_6": Composite(source=hf_source("minicpmv4_6"), text="qwen3_5_text", not_counted=("vision_config",)),
    "apertus1p5": Composite(source=hf_source("apertus1p5"), text="apertus1p5_text",
                            not_counted=("vision_config", "audio_config")),
    "dots_ocr": Composite(source="vLLM model_executor/models/dots_ocr.py", text="qwen2",
                          not_counted=("vision_config",)),
    "granite_speech": Composite(source=hf_source("granite_speech"), text="granite",
                                not_counted=("encoder_config", "projector_config")),
    "granite4_vision": Composite(source=hf_source("granite4_vision"), text="granitemoehybrid",
                                 not_counted=("vision_config",)),
    "ovis2": Composite(source=hf_source("ovis2"), text="qwen2", not_counted=("vision_config",)),
    "deepseek_vl": _vision("deepseek_vl", "llama", "siglip_vision_model", document_vision.deepseek_vl_projector),
    "audioflamingo3": Composite(source=hf_source("audioflamingo3"), text="qwen2", not_counted=("audio_config",)),
    "glmasr": Composite(source=hf_source("glmasr"), text="llama", not_counted=("audio_config",)),
    "video_llama_3": Composite(source=hf_source("video_llama_3"), text="qwen2", not_counted=("vision_config",)),
    "qianfan_ocr": Composite(source=hf_source("qianfan_ocr"), text="qwen3", not_counted=("vision_config",)),
    "lighton_ocr": Composite(source=hf_source("lighton_ocr"), text="qwen3", not_counted=("vision_config",)),
    "voxtral": _audio("voxtral", "llama", "voxtral_encoder", _voxtral_projector),
    "qwen2_audio": _audio("qwen2_audio", "qwen2", "qwen2_audio_encoder", _linear_projector(True)),
}  # fmt: skip
