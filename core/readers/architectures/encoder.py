"""Read encoders: BERT and its variants, which embed, rank or classify texts and have no KV cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import quoted
from core.model.feed_forward import GatedMlp, Mlp, PlainMlp
from core.model.mixers import EncoderAttention
from core.model.spec import LayerRun, ModelSpec
from core.model.tensors import BY_VOCABULARY, EMBEDDING, HEAD, MLP, WHOLE, Tensor, linear, vector
from core.readers.architectures.decoder import hf_source, merge_equal_layers
from core.readers.architectures.rotary import rotary_values
from core.readers.fields import Fields
from core.readers.roles import USUAL_LABELS, label_count

NO_CACHE = "an encoder computes a whole text in one step and has no KV cache; the tokens of a step limit its users"


@dataclass(frozen=True, kw_only=True)
class EncoderFamily:
    """The facts about a `model_type` of encoders that its config.json leaves out.

    Attributes:
        source: the file that defines the architecture.
        aliases: usual field name → the family's own name.
        defaults: values of fields that config.json leaves out.
        positions: whether there is a table of learnt positions.
        gated: whether the feed-forward block has a gate projection.
        bias: whether projections have bias vectors, or the field that says so.
        pooler: whether the class called Model has a projection of the first token after the layers.
        wide_classifier: whether a classifier has a layer of the hidden size before it instead of the pooler.
    """

    source: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    positions: bool = True
    gated: bool = False
    bias: bool | str = True
    pooler: bool = True
    wide_classifier: bool = False


def read(fields: Fields, family: EncoderFamily, name: str) -> ModelSpec:
    """Return the encoder that `fields`, a config.json of `family`, describe, with the head of its class.

    Raises:
        PlannerError: a field is missing, impossible, or not supported.
    """
    fields.raw("layer_types")  # which layers have a window changes nothing: an encoder caches nothing
    hidden, heads = fields.size("hidden_size"), fields.size("num_attention_heads")
    bias = fields.flag(family.bias) if isinstance(family.bias, str) else family.bias
    attention = EncoderAttention(
        num_attention_heads=heads,
        num_key_value_heads=fields.optional("num_key_value_heads") or heads,
        head_dim=fields.optional("head_dim") or hidden // heads,
        qkv_bias=bias,
        output_bias=bias,
    )
    rms = fields.model_type == "eurobert"
    norm_bias = not rms and (fields.model_type != "modernbert" or fields.flag("norm_bias"))
    one_less = fields.model_type == "modernbert"  # its first layer takes the embedding's norm
    layers = (
        LayerRun(
            count=1, mixer=attention, mlp=_mlp(fields, family, bias), norms=1 if one_less and layer == 0 else 2,
            norm_bias=norm_bias, extra=_layer_extra(fields, hidden),
        )
        for layer in range(fields.size("num_hidden_layers"))
    )  # fmt: skip
    return ModelSpec(
        name=name,
        hidden_size=hidden,
        vocab_size=fields.size("vocab_size"),
        embedding_size=_embedding_size(fields, hidden),
        tie_word_embeddings=True,
        max_position_embeddings=fields.stated("max_position_embeddings"),
        final_norms=0 if _embedding_size(fields, hidden) else 1 + one_less,
        norm_bias=norm_bias,
        extra=(*_embeddings(fields, family, hidden), *_head(fields, family, hidden, norm_bias)),
        rotary_values=0 if family.positions or _has_alibi(fields) else rotary_values(fields),
        layers=merge_equal_layers(layers),
        notes=(f"model_type: {NO_CACHE}",),
    )


def _mlp(fields: Fields, family: EncoderFamily, bias: bool) -> Mlp:
    width = fields.size("intermediate_size")
    if family.gated or _is_jina_bert(fields):
        return GatedMlp(intermediate_size=width, bias=bias and fields.model_type not in ("gte", "new", "bert"))
    return PlainMlp(intermediate_size=width, bias=bias)


def _is_jina_bert(fields: Fields) -> bool:
    """Return whether it is Jina's BERT with ALiBi and a gate (jinaai/jina-bert-implementation modeling_bert.py)."""
    return fields.text("feed_forward_type", "original") in ("geglu", "reglu")


def _has_alibi(fields: Fields) -> bool:
    return fields.text("position_embedding_type") == "alibi"


def _layer_extra(fields: Fields, hidden: int) -> tuple[Tensor, ...]:
    """Return the bias of the second projection of gated blocks, of which only that one has a bias."""
    only_down = fields.model_type in ("gte", "new") or _is_jina_bert(fields)
    return (vector("mlp.down_proj.bias", hidden),) if only_down else ()


def _embedding_size(fields: Fields, hidden: int) -> int | None:
    width = fields.optional("embedding_size")
    return None if not width or width == hidden else width


def _embeddings(fields: Fields, family: EncoderFamily, hidden: int) -> tuple[Tensor, ...]:
    """Return the tables of positions and of kinds of text, and what widens a narrower embedding."""
    width = _embedding_size(fields, hidden)
    columns = width or hidden
    tables = []
    if family.positions and not _has_alibi(fields) and fields.flag("position_biased_input", True):
        tables.append(("position_embeddings", fields.size("max_position_embeddings")))
    if fields.optional("type_vocab_size"):
        tables.append(("token_type_embeddings", fields.size("type_vocab_size")))
    if fields.model_type == "mpnet":
        buckets = fields.size("relative_attention_num_buckets", 32) * fields.size("num_attention_heads")
        return (*(_table(*each, columns) for each in tables), vector("relative_attention_bias", buckets))
    extra = [_table(*each, columns) for each in tables]
    if width:
        extra += [vector("embeddings.norm", width), vector("embeddings.norm.bias", width)]
        extra += linear("embeddings_project", MLP, hidden, width, WHOLE, bias=True)
    if fields.model_type == "deberta-v2":
        extra += _relative_positions(fields, hidden)
    return tuple(extra)


def _relative_positions(fields: Fields, hidden: int) -> list[Tensor]:
    """Return DeBERTa's table of relative positions and its norm (transformers models/deberta_v2, DebertaV2Encoder)."""
    if not fields.flag("relative_attention"):
        return []
    if not fields.flag("share_att_key") or fields.optional("conv_kernel_size"):
        raise fields.error("share_att_key", "separate projections of positions, and convolutions, are not supported",
                           "Give a DeBERTa-v3.")  # fmt: skip
    buckets = fields.raw("position_buckets")
    rows = 2 * (buckets if isinstance(buckets, int) and buckets > 0 else fields.size("max_position_embeddings"))
    norm = [vector("encoder.norm", hidden), vector("encoder.norm.bias", hidden)]
    return [_table("rel_embeddings", rows, hidden), *(norm if "layer_norm" in fields.text("norm_rel_ebd") else ())]


def _table(name: str, rows: int, columns: int) -> Tensor:
    return Tensor(name=name, group=EMBEDDING, rows=rows, columns=columns, split=WHOLE)


def _head(fields: Fields, family: EncoderFamily, hidden: int, norm_bias: bool) -> tuple[Tensor, ...]:
    """Return what the class in `architectures` has after the layers.

    Raises:
        UnsupportedModelError: it is a class that is not understood.
    """
    listed = fields.raw("architectures")
    name = listed[0] if isinstance(listed, list) and listed else "Model"
    pooler = linear("pooler.dense", MLP, hidden, hidden, WHOLE, bias=True)
    if not isinstance(name, str) or name.endswith(("Model", "Encoder")):
        return pooler if family.pooler and fields.flag("add_pooling_layer", True) else ()
    if name.endswith(("ForMaskedLM", "ForPreTraining", "LMHeadModel", "ForCausalLM")):
        return _language_head(fields, hidden, norm_bias)
    labels = label_count(fields.optional("num_labels"), fields.raw("id2label"))
    if "SequenceClassification" in name or "Reranking" in name:
        before = linear("classifier.dense", MLP, hidden, hidden, WHOLE, bias=_classifier_bias(fields))
        norms = (vector("classifier.norm", hidden),) * (1 + norm_bias) if fields.model_type == "modernbert" else ()
        has_layer = family.wide_classifier or family.pooler
        return (*(before if has_layer else ()), *norms, *linear("classifier", MLP, labels, hidden, WHOLE, bias=True))
    if "TokenClassification" in name or "QuestionAnswering" in name:
        outputs = labels if "Token" in name else USUAL_LABELS
        return linear("classifier", MLP, outputs, hidden, WHOLE, bias=True)
    raise fields.error("architectures", f"{quoted(name)} is not understood", "Remove architectures.")


def _classifier_bias(fields: Fields) -> bool:
    return fields.model_type != "modernbert" or fields.flag("classifier_bias")


def _language_head(fields: Fields, hidden: int, norm_bias: bool) -> tuple[Tensor, ...]:
    """Return a projection, a norm and the biases of the tied output projection."""
    if fields.model_type == "eurobert":
        tied = fields.flag("tie_word_embeddings")
        return () if tied else linear("lm_head", HEAD, fields.size("vocab_size"), hidden, BY_VOCABULARY)
    width = _embedding_size(fields, hidden) or hidden
    return (
        *linear("head.dense", MLP, width, hidden, WHOLE, bias=_classifier_bias(fields)),
        *((vector("head.norm", width),) * (1 + norm_bias)),
        vector("head.bias", fields.size("vocab_size")),
    )


_BERT = EncoderFamily(source=hf_source("bert"), defaults={"type_vocab_size": 2})
_ROBERTA = EncoderFamily(source=hf_source("roberta"), defaults={"type_vocab_size": 1}, wide_classifier=True)
_NOMIC_NAMES = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
                "intermediate_size": "n_inner", "max_position_embeddings": "n_positions"}  # fmt: skip
_DISTIL_NAMES = {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
                 "intermediate_size": "hidden_dim"}  # fmt: skip
_GTE = EncoderFamily(source=hf_source("gte"), positions=False, gated=True, pooler=False, wide_classifier=True)

FAMILIES: dict[str, EncoderFamily] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": EncoderFamily(source=hf_source("electra"), defaults={"type_vocab_size": 2}, pooler=False,
                             wide_classifier=True),
    "mpnet": EncoderFamily(source=hf_source("mpnet"), wide_classifier=True),
    "distilbert": EncoderFamily(source=hf_source("distilbert"), aliases=_DISTIL_NAMES, pooler=False,
                                wide_classifier=True),
    "deberta-v2": EncoderFamily(source=hf_source("deberta_v2"), pooler=False, wide_classifier=True),
    "nomic_bert": EncoderFamily(source="nomic-ai nomic-bert-2048 modeling_hf_nomic_bert.py", aliases=_NOMIC_NAMES,
                                defaults={"type_vocab_size": 2}, positions=False, gated=True, bias=False,
                                pooler=False),
    "gte": _GTE,
    "new": _GTE,  # the same from Alibaba's own repositories (Alibaba-NLP/new-impl modeling.py)
    "jina_embeddings_v3": EncoderFamily(source=hf_source("jina_embeddings_v3"), positions=False,
                                        defaults={"type_vocab_size": 1}, wide_classifier=True),
    "modernbert": EncoderFamily(source=hf_source("modernbert"), positions=False, gated=True, bias="attention_bias",
                                pooler=False, wide_classifier=True),
    "eurobert": EncoderFamily(source=hf_source("eurobert"), positions=False, gated=True, bias="attention_bias",
                              pooler=False, wide_classifier=True),
}  # fmt: skip
