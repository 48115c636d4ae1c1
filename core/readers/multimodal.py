"""Models that see or hear: a decoder, the tower in front of it, and the projector between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from core.errors import quoted
from core.model_spec import CrossAttention, FullAttention, LayerRun, ModelSpec
from core.readers import vision
from core.readers.fields import Fields, default_parts
from core.readers.images import image_input
from core.readers.vision import Tensors, dense, norm, table

ReadDecoder = Callable[..., ModelSpec]
Projector = Callable[[Fields, Fields, int], Tensors]


@dataclass(frozen=True, kw_only=True)
class Composite:
    """What a `model_type` with several parts implies.

    Attributes:
        source: where that is written.
        text: the model type of the text part where config.json does not name it.
        tower: the model type of the tower where config.json does not name it.
        part: the field that describes the tower.
        projector: the tensors between tower and decoder, from the outer fields, the tower's, and the decoder's width.
    """

    source: str
    text: str
    tower: str
    part: str = "vision_config"
    projector: Projector = lambda outer, tower, hidden: ()


def read(config: Mapping[str, object], model_type: str, name: str, read_decoder: ReadDecoder) -> ModelSpec:
    """The model that the config.json of a composite family describes.

    Raises:
        PlannerError: a field is missing, wrong, or not understood.
    """
    family = TOWERS[model_type]
    outer = Fields(config, model_type, nested=True)
    spec = _text(outer, family, name, read_decoder)
    part = outer.part(family.part)
    if part is None:
        return spec  # only the text part is given
    tower_type = _tower_type(part, model_type, family)
    tower = Fields(part, tower_type, path=f"{family.part}.", nested=True)
    if tower_type not in vision.TOWERS:
        raise tower.error("model_type", f"{quoted(tower_type)} is not a tower that is understood",
                          f"Understood are {', '.join(vision.TOWERS)}.")  # fmt: skip
    _nothing_else(outer, family)
    tensors = (*vision.TOWERS[tower_type](tower), *family.projector(outer, tower, spec.hidden_size))
    return replace(spec, extra=(*spec.extra, *tensors), image=image_input(tower_type, tower, outer))


def _text(outer: Fields, family: Composite, name: str, read_decoder: ReadDecoder) -> ModelSpec:
    part = outer.part("text_config") or outer.part("llm_config")
    nested = part is not None
    if part is None:  # older configs have the decoder's fields beside the tower's
        part = {key: value for key, value in outer.values.items() if key not in (family.part, "audio_config")}
    model_type = part.get("model_type") if nested else None
    if not isinstance(model_type, str):
        model_type = default_parts(outer.model_type).get("text_config", family.text)
    outer.ignore("tie_word_embeddings")
    if "tie_word_embeddings" not in part and "tie_word_embeddings" in outer.values:
        part = {**part, "tie_word_embeddings": outer.values["tie_word_embeddings"]}
    if outer.model_type == "mllama":
        return _mllama_text(part, name, nested)
    return read_decoder(part, model_type, name, path="text_config." if nested else "", nested=nested)


def _tower_type(part: Mapping[str, object], model_type: str, family: Composite) -> str:
    named = part.get("model_type")
    if not isinstance(named, str) or named in ("", model_type) and named not in vision.TOWERS:
        return family.tower
    return named


def _nothing_else(outer: Fields, family: Composite) -> None:
    for part in ("vision_config", "audio_config"):
        if part != family.part and outer.values.get(part):
            raise outer.error(part, "a second tower is not understood in this family", "Leave it out.")


# Llama 3.2 Vision: every fifth layer looks at the image instead of the text.
_MLLAMA_EXTRA_TOKENS = 8  # rows for image tokens that have no output (transformers MllamaTextModel)


def _mllama_text(part: Mapping[str, object], name: str, nested: bool) -> ModelSpec:
    from core.readers.decoder import attention, dense_mlp, runs
    from core.readers.llama_like import LLAMA
    from core.tensors import EMBEDDING, VECTOR, Tensor

    fields = Fields(part, "mllama_text_model", path="text_config.", nested=nested)
    layers, hidden = fields.size("num_hidden_layers"), fields.size("hidden_size")
    crossing = fields.listed("cross_attention_layers") or []
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
        *dense("multi_modal_projector.patch_merger", width, width * outer.size("spatial_merge_size", 2) ** 2, bias=False),
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
    ratio = outer.raw("downsample_ratio")
    width = int(tower.size("hidden_size") * (1 / (ratio if isinstance(ratio, (int, float)) else 0.5)) ** 2)
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
    kernel = tower.listed("merge_kernel_size") or [2, 2]
    merged = width * int(kernel[0]) * int(kernel[1])  # type: ignore[call-overload]
    return (
        *norm("mm_projector.pre_norm", width),
        *dense("mm_projector.in_proj", merged, merged),
        *dense("mm_projector.out_proj", hidden, merged),
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
    return dense("embed_vision.embedding_projection", hidden, tower.size("hidden_size"), bias=False)


def _source(module: str) -> str:
    return f"transformers models/{module}/modeling_{module}.py"


TOWERS: dict[str, Composite] = {
    "llava": Composite(source=_source("llava"), text="llama", tower="clip_vision_model", projector=_two_layers),
    "llava_next": Composite(source=_source("llava_next"), text="llama", tower="clip_vision_model", projector=_with_newline),
    "mistral3": Composite(source=_source("mistral3"), text="mistral", tower="pixtral", projector=_merged),
    "gemma3": Composite(source=_source("gemma3"), text="gemma3_text", tower="siglip_vision_model", projector=_gemma3),
    "gemma4": Composite(source=_source("gemma4"), text="gemma4_text", tower="gemma4_vision", projector=_gemma4),
    "paligemma": Composite(source=_source("paligemma"), text="gemma", tower="siglip_vision_model", projector=_one_layer(True)),
    "llama4": Composite(source=_source("llama4"), text="llama4_text", tower="llama4_vision_model", projector=_llama4),
    "mllama": Composite(source=_source("mllama"), text="mllama_text_model", tower="mllama_vision_model", projector=_mllama),
    "internvl": Composite(source=_source("internvl"), text="qwen2", tower="internvl_vision", projector=_internvl),
    "lfm2_vl": Composite(source=_source("lfm2_vl"), text="lfm2", tower="siglip2_vision_model", projector=_lfm2),
    "idefics3": Composite(source=_source("idefics3"), text="llama", tower="idefics3_vision", projector=_shuffled),
    "smolvlm": Composite(source=_source("smolvlm"), text="llama", tower="smolvlm_vision", projector=_shuffled),
    "qwen2_vl": Composite(source=_source("qwen2_vl"), text="qwen2_vl_text", tower="qwen2_vl_vision"),
    "qwen2_5_vl": Composite(source=_source("qwen2_5_vl"), text="qwen2_5_vl_text", tower="qwen2_5_vl_vision"),
    "qwen3_vl": Composite(source=_source("qwen3_vl"), text="qwen3_vl_text", tower="qwen3_vl_vision"),
    "qwen3_vl_moe": Composite(source=_source("qwen3_vl_moe"), text="qwen3_vl_moe_text", tower="qwen3_vl_moe_vision"),
    "qwen3_5": Composite(source=_source("qwen3_5"), text="qwen3_5_text", tower="qwen3_5_vision"),
    "qwen3_5_moe": Composite(source=_source("qwen3_5_moe"), text="qwen3_5_moe_text", tower="qwen3_5_moe_vision"),
    "glm4v": Composite(source=_source("glm4v"), text="glm4v_text", tower="glm4v_vision"),
    "glm4v_moe": Composite(source=_source("glm4v_moe"), text="glm4v_moe_text", tower="glm4v_moe_vision"),
    "exaone4_5": Composite(source=_source("exaone4_5"), text="exaone4_5_text", tower="exaone4_5_vision"),
    "kimi_k25": Composite(source=_source("kimi_k25"), text="kimi_k2", tower="kimi_k25_vision", projector=_moonvit),
    "cohere2_vision": Composite(source=_source("cohere2_vision"), text="cohere2", tower="siglip_vision_model",
                                projector=_cohere2),
    "voxtral": Composite(source=_source("voxtral"), text="llama", tower="voxtral_encoder", part="audio_config",
                         projector=_voxtral),
    "qwen2_audio": Composite(source=_source("qwen2_audio"), text="qwen2", tower="qwen2_audio_encoder",
                             part="audio_config", projector=_one_layer(True)),
}  # fmt: skip
