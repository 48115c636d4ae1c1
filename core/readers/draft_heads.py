"""Read the config.json of an EAGLE-3 head, which drafts tokens for another model.

Sources: Li et al. 2025, EAGLE-3 (arXiv:2503.01840), section 3; vLLM model_executor/models/llama_eagle3.py and
transformers_utils/configs/speculators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.errors import UnsupportedModelError, WrongTypeError
from core.model.spec import LayerRun, ModelSpec
from core.model.tensors import ATTENTION, MLP, WHOLE, linear

Config = Mapping[str, object]

# Classes of a head with Llama's layers in vLLM and SGLang; the model that it drafts for may have other layers.
_CLASSES = ("LlamaForCausalLMEagle3", "Eagle3LlamaForCausalLM", "Eagle3Speculator", "Eagle3DraftModel")
_OF_HEADS = ("architectures", "draft_vocab_size", "eagle_config", "speculators_model_type")
_INNER_LAYERS = 3  # of the model, whose hidden states the head joins: an early, a middle and a late one


def is_draft_head(config: Config) -> bool:
    """Return whether a config.json is of an EAGLE-3 head with Llama's layers."""
    listed = config.get("architectures")
    return isinstance(listed, list) and bool(listed) and listed[0] in _CLASSES


def as_decoder(config: Config) -> dict[str, object]:
    """Return the fields of the head's layers as those of a Llama model, with the head's own vocabulary.

    The embedding is the model's, which engines share. So the matrix that is counted is the output head.

    Raises:
        WrongTypeError: the layers are no object.
    """
    layers = config.get("transformer_layer_config", config)  # as vLLM's library speculators writes it
    if not isinstance(layers, Mapping):
        raise WrongTypeError("transformer_layer_config", "it is no object", "Copy it from the head's config.json.")
    words = config.get("draft_vocab_size") or layers.get("vocab_size")
    others = {name: config[name] for name in ("quantization_config", "torch_dtype", "dtype") if name in config}
    kept = {name: value for name, value in layers.items() if name not in _OF_HEADS}
    return {**kept, **others, "model_type": "llama", "vocab_size": words, "tie_word_embeddings": True}


def as_draft_head(spec: ModelSpec, config: Config) -> ModelSpec:
    """Return the head with what a Llama model lacks.

    Its first layer reads an embedding next to a hidden state, each with a norm, so that its queries, keys and values
    have twice the columns; a projection makes one hidden state of several.

    Args:
        spec: the model that `as_decoder` describes.
        config: the head's config.json.

    Raises:
        UnsupportedModelError: the width of the model that it drafts for is no number.
    """
    run, hidden, inner = spec.layers[0], spec.hidden_size, _inner_layers(config)
    wide = tuple(
        replace(tensor, name=f"{tensor.name}.embedding")
        for tensor in run.mixer.weight_tensors(hidden)
        if tensor.group == ATTENTION and tensor.fused
    )
    joining = linear("fc", MLP, hidden, inner * _width(config, hidden), WHOLE) if inner else ()
    first = replace(run, count=1, norms=run.norms + 1, extra=(*run.extra, *wide, *joining))
    rest: tuple[LayerRun, ...] = (replace(run, count=run.count - 1),) if run.count > 1 else ()
    return replace(spec, layers=(first, *rest, *spec.layers[1:]), is_draft_head=True)


def _inner_layers(config: Config) -> int:
    eagle = config.get("eagle_config")
    if not isinstance(eagle, Mapping):
        return _INNER_LAYERS
    if eagle.get("use_aux_hidden_state") is False:
        return 0
    listed = eagle.get("eagle_aux_hidden_state_layer_ids")
    return len(listed) if isinstance(listed, list) and listed else _INNER_LAYERS


def _width(config: Config, hidden: int) -> int:
    """Return the hidden size of the model that the head drafts for."""
    width = config.get("target_hidden_size")
    if width is None:
        return hidden
    if type(width) is not int or not 0 < width < 10**6:
        raise UnsupportedModelError(
            "target_hidden_size", "it is no width of a model", "Copy it from the head's config.json."
        )
    return width
