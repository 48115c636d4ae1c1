"""Describe the parts of a language model that determine its memory: a `ModelSpec` made of layers.

Field names are those of Hugging Face `config.json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from core.model.feed_forward import Mlp
from core.model.mixers import Mixer, full_width_attention
from core.model.quantization import Quantization
from core.model.tensors import Tensor


@dataclass(frozen=True, kw_only=True)
class LayerRun:
    """`count` identical layers in a row.

    Attributes:
        mixer: the part that mixes tokens.
        mlp: the feed-forward block; None if the layer has none, or if its size is unknown.
        norms: the number of norm vectors of the hidden size around the two.
        norm_bias: whether each of these norms has a bias.
        extra: other tensors of the layer.
        complete: False if the description has too few fields to count the layer's parameters.
    """

    count: int
    mixer: Mixer
    mlp: Mlp | None = None
    norms: int = 2
    norm_bias: bool = False
    extra: tuple[Tensor, ...] = ()
    complete: bool = True


@dataclass(frozen=True, kw_only=True)
class DraftLayers:
    """Layers for multi-token prediction, which engines load only to draft.

    Attributes:
        count: the number of them.
        runs: the layers of the model that one of them consists of.
    """

    count: int
    runs: tuple[LayerRun, ...]


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """The largest image that a model accepts, and the widths of the tower that encodes it.

    Attributes:
        tokens: the number of tokens that represent it.
        pixel_values: the values of its pixels in all channels.
        patches: the patches that the tower computes.
        tower_width: the width of the tower's residual stream.
        tower_mlp_width: the values of its feed-forward block that are alive at once, for each patch.
        embeddings: vectors of the decoder's width for each token: more than one if inner layers are passed on.
    """

    tokens: int
    pixel_values: int
    patches: int
    tower_width: int
    tower_mlp_width: int
    embeddings: int = 1


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A language model.

    Attributes:
        name: the catalog's name, or the user's.
        hidden_size: width of the residual stream.
        layers: all layers, first to last, as runs of identical layers.
        vocab_size: rows of the embedding; None if only a stated parameter count is known.
        embedding_size: columns of the embedding and of the head if they differ from the hidden size (OPT 350M).
        tie_word_embeddings: whether the output head reuses the embedding.
        stated_parameters: a parameter count that overrides the counted one.
        max_position_embeddings: longest context in tokens; None if unknown.
        final_norms, norm_bias: the number of norm vectors after the last layer, and whether they have biases.
        head_bias: whether the output head has a bias.
        extra: tensors outside the layers (learnt positions, per-layer embeddings, vision towers, encoders).
        image: the largest image that the model accepts; None if it accepts none, or has no largest size.
        rotary_values: values of the rotary tables that engines store; 0 if there is none.
        drafts: the layers that only draft; None if the model has none.
        is_draft_head: whether it is no whole model, but drafts with the embedding and hidden states of another.
        quantization: the formats of the checkpoint's weights; None if all weights have `bytes_per_value`.
        kv_precision: the precision in which engines keep the KV cache of this checkpoint by default; "": 16 bits.
        bytes_per_value: bytes of a weight that is not quantized.
        notes: what a reader of its figures should know, each a sentence that begins with a field or file.
    """

    name: str
    hidden_size: int
    layers: tuple[LayerRun, ...]
    vocab_size: int | None = None
    embedding_size: int | None = None
    tie_word_embeddings: bool = False
    stated_parameters: int | None = None
    max_position_embeddings: int | None = None
    final_norms: int = 1
    norm_bias: bool = False
    head_bias: bool = False
    extra: tuple[Tensor, ...] = ()
    image: ImageInput | None = None
    rotary_values: int = 0
    drafts: DraftLayers | None = None
    is_draft_head: bool = False
    quantization: Quantization | None = None
    kv_precision: str = ""
    bytes_per_value: int = 2
    notes: tuple[str, ...] = field(default=(), compare=False)  # they change no figure

    @cached_property
    def num_hidden_layers(self) -> int:
        return sum(run.count for run in self.layers)

    @property
    def heads_are_known(self) -> bool:
        """Return False if keys and values are as wide as the model, as in the article, and the heads are unknown."""
        return any(run.mixer != full_width_attention(self.hidden_size) for run in self.layers)

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.hidden_size, self.layers, self.vocab_size, self.stated_parameters, self.extra))

    def __hash__(self) -> int:
        """Hash once per object: every estimate uses specs as cache keys."""
        return self._hash
