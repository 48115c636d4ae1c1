"""Read `architectures`: whether a config.json is of a whole language model, or of one without head, decoder or body.

The names are those of the classes of transformers (models/*/modeling_*.py) and of vLLM
(model_executor/models/registry.py, for embedding, reward and draft models).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.errors import UnsupportedModelError, quoted
from core.model.mixers import NoMixer
from core.model.spec import LayerRun, ModelSpec
from core.model.tensors import MLP, WHOLE, Tensor, linear

_DRAFT = re.compile(r"(?i:eagle)(?!\w*ForConditionalGeneration)|MTP|NextN|Medusa|Speculator|DFlash|DSpark")
_DRAFT_FIELDS = ("eagle_config", "draft_vocab_size", "speculators_model_type")
# vLLM transformers_utils/configs: eagle.py, medusa.py; config/speculative.py, MTPModelTypes.
_DRAFT_TYPES = ("eagle", "medusa", "mlp_speculator", "deepseek_mtp", "mimo_mtp", "glm4_moe_mtp", "ernie_mtp",
                "qwen3_next_mtp", "longcat_flash_mtp", "mtp")  # fmt: skip
_ENCODER = re.compile(r"EncoderModel$")
_CLASSIFIER = re.compile(r"For(?:Sequence|Token)Classification|RewardModel|ForQuestionAnswering")
# The hub's ChatGLM, InternVL, Qwen-Omni, Marian and MiniCPM-V have a head though their classes do not say so.
_WHOLE = re.compile(
    r"ForCausalLM|LMHead|LM$|ForConditionalGeneration|ForVision2Seq|ForImageTextToText|ForSpeechSeq2Seq|ForPreTraining|"
    r"(?:Chat|ChatGLM|MT)Model$|Omni\w*Model$|MiniCPM[VO]$"
)
_NO_HEAD = re.compile(r"Model$")
USUAL_LABELS = 2  # transformers configuration_utils.py, PretrainedConfig.num_labels


def refuse_draft(config: Mapping[str, object]) -> None:
    """Raise if a config.json is of a draft head: its other fields are those of a whole model.

    Raises:
        UnsupportedModelError: it is one; the error names the field that says so.
    """
    listed = config.get("architectures")
    for name in listed[:1] if isinstance(listed, list) else ():
        if isinstance(name, str) and _DRAFT.search(name):
            raise _draft("architectures", name)
    if config.get("model_type") in _DRAFT_TYPES:
        raise _draft("model_type", config["model_type"])
    for field in _DRAFT_FIELDS:
        if config.get(field):
            raise _draft(field, config[field])


def with_role(spec: ModelSpec, config: Mapping[str, object]) -> ModelSpec:
    """Return the part of the language model `spec` that the classes in `architectures` have.

    Raises:
        UnsupportedModelError: it is a class that is not understood.
    """
    listed = config.get("architectures")
    name = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(name, str) or spec.stated_parameters is not None or _is_whole(name):
        return spec
    if _ENCODER.search(name):
        return _encoder(spec, name)
    if _CLASSIFIER.search(name):
        return replace(without_head(spec, name), extra=(*spec.extra, *_classifier(spec.hidden_size, name, config)))
    if _NO_HEAD.search(name):
        return without_head(spec, name)
    raise UnsupportedModelError(
        "architectures", f"{quoted(name)} is not understood", "Remove architectures to count a whole language model."
    )


def _is_whole(name: str) -> bool:
    return not (_ENCODER.search(name) or _CLASSIFIER.search(name)) and _WHOLE.search(name) is not None


def as_embedding_model(spec: ModelSpec, layers: Sequence[tuple[int, int, bool]]) -> ModelSpec:
    """Return a sentence-transformers model: `spec` without head, with further layers (rows, columns, bias)."""
    headless = without_head(spec, "a sentence-transformers model")
    extra = (each for rows, columns, bias in layers for each in linear("dense", MLP, rows, columns, WHOLE, bias=bias))
    return replace(headless, extra=(*headless.extra, *extra))


def without_head(spec: ModelSpec, source: str) -> ModelSpec:
    """Return `spec` without its output head, which `source`, a class or a kind of model, does not have."""
    if spec.tie_word_embeddings:
        return spec
    note = f"architectures: {source} has no head over the vocabulary; none is counted"
    return replace(spec, tie_word_embeddings=True, head_bias=False, notes=(*spec.notes, note))


def _classifier(hidden: int, name: str, config: Mapping[str, object]) -> tuple[Tensor, ...]:
    """Return the head with a row per label.

    Sources: transformers modeling_layers.py, GenericForSequenceClassification (no bias), GenericForTokenClassification
    and GenericForQuestionAnswering (bias; 2 outputs); vLLM model_executor/models/qwen2_rm.py (a layer before it).
    """
    count = config.get("num_labels")
    given = count if type(count) is int and 0 < count < 10**6 else None
    labels = label_count(given, config.get("id2label"))
    if "RewardModel" in name and name.startswith("Qwen"):
        outputs = USUAL_LABELS if "Process" in name else 1
        return (*linear("score.0", MLP, hidden, hidden, WHOLE, bias=True),
                *linear("score.2", MLP, outputs, hidden, WHOLE, bias=True))  # fmt: skip
    if "RewardModel" in name:
        return linear("v_head", MLP, 1, hidden, WHOLE)
    if "Question" in name:
        return linear("qa_outputs", MLP, USUAL_LABELS, hidden, WHOLE, bias=True)
    return linear("score", MLP, labels, hidden, WHOLE, bias="Token" in name)


def label_count(given: int | None, names: object) -> int:
    """Return the number of classes of a classifier: `num_labels` if it is given, or as many as `id2label` names."""
    return given or (len(names) if isinstance(names, Mapping) and names else USUAL_LABELS)


_OUTSIDE_LAYERS = ("encoder.norm", "encoder.norm.bias")


def _encoder(spec: ModelSpec, name: str) -> ModelSpec:
    """Return the encoder of an encoder-decoder: no decoder, no head and no cache."""
    encoder = [tensor for tensor in spec.extra if tensor.name.startswith("encoder.")]
    inside = [tensor for tensor in encoder if tensor.name not in _OUTSIDE_LAYERS]
    if not inside:
        raise UnsupportedModelError(
            "architectures", f"{quoted(name)} has no encoder that is known", "Remove architectures."
        )
    tables = [tensor for tensor in spec.extra if tensor.name == "relative_attention_bias"]
    layers = next(count for count in range(spec.num_hidden_layers, 0, -1) if len(inside) % count == 0)
    run = LayerRun(count=layers, mixer=NoMixer(), norms=0, extra=tuple(inside[: len(inside) // layers]))
    outside = [tensor for tensor in encoder if tensor.name in _OUTSIDE_LAYERS]
    return replace(
        spec,
        layers=(run,),
        extra=(*outside, *tables[: len(tables) // 2]),
        final_norms=0,
        tie_word_embeddings=True,
        head_bias=False,
        notes=(*spec.notes, f"architectures: {name} is an encoder alone; it has no decoder and no KV cache"),
    )


def _draft(field: str, value: object) -> UnsupportedModelError:
    return UnsupportedModelError(
        field,
        f"{quoted(value)} is of a draft head for speculative decoding, not of a whole model",
        "Give the model that it drafts for.",
    )
