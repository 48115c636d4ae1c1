"""Test composite models whose towers are counted by hand, refused, or named as left out."""

from __future__ import annotations

import pytest

from core.errors import UnsupportedModelError
from core.model.counts import model_counts
from core.readers.hf_config import spec_from_config

TEXT = {"model_type": "qwen2", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 10,
        "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": True}  # fmt: skip
SIGLIP = {"model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
          "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # fmt: skip


def total(config: dict[str, object]) -> int:
    return model_counts(spec_from_config(config, name="m")).parameters.total


@pytest.mark.parametrize(
    ("model_type", "text", "parts"),
    [
        ("phi4mm", TEXT | {"model_type": "phi3"}, ["audio_processor", "embd_layer"]),
        ("granite_speech", TEXT | {"model_type": "granite"}, ["encoder_config"]),
        ("ovis2", TEXT, ["vision_config"]),
    ],
)
def test_parts_that_are_not_counted_are_named(model_type, text, parts):
    alone = total(text)
    config = {"model_type": model_type, "text_config": text} | {part: {"depth": 1} for part in parts}
    spec = spec_from_config(config, name="m")
    assert model_counts(spec).parameters.total == alone
    assert [note for note in spec.notes if note.endswith("left out")] == [
        f"{part}: this part of the model is left out" for part in parts
    ]


def test_the_version_of_minicpm_v_names_its_decoder():
    """MiniCPM-V 2.6 has the biases of Qwen2, 2.5 none (Llama): 2 layers × (32 + 16 + 16)."""
    outer = {**TEXT, "model_type": "minicpmv", "vision_config": SIGLIP, "architectures": ["MiniCPMV"]}
    assert total(outer | {"version": "2.6"}) - total(outer | {"version": "2.5"}) == 2 * 64
    assert total(outer) == total(outer | {"version": "2.6"})


def deepseek(**fields: object) -> dict[str, object]:
    tower = {"model_name": "siglip_so400m_patch14_384", "width": 16, "layers": 1, "patch_size": 14, "image_size": 28}
    return {
        "model_type": "deepseek_vl_v2", "architectures": ["DeepseekVLV2ForCausalLM"],
        "language_config": TEXT | {"model_type": "llama"},
        "vision_config": tower | {"model_type": "vision"} | fields.pop("vision", {}),
        "projector_config": {"projector_type": "downsample_mlp_gelu", "input_dim": 16, "n_embed": 32, "depth": 2}
        | fields.pop("projector", {}),
    }  # fmt: skip


def test_deepseek_vl2_by_hand():
    """SigLIP with its pooling head, whose feed-forward blocks are 4304 wide, and a projector of 2 × 2 patches."""
    width, mlp = 16, 4304
    layer = 4 * (width * width + width) + (mlp * width + mlp) + (width * mlp + width) + 4 * width
    head = width + (3 * width * width + 3 * width) + (width * width + width) + 2 * width + layer_mlp(width, mlp)
    tower = (3 * 14 * 14 * width + width) + 4 * width + layer + 2 * width + head
    projector = (4 * width * 32 + 32) + (32 * 32 + 32) + 2 * 32
    assert total(deepseek()) == total(TEXT | {"model_type": "llama"}) + tower + projector


def layer_mlp(width: int, mlp: int) -> int:
    return (mlp * width + mlp) + (width * mlp + width)


@pytest.mark.parametrize(
    "config",
    [
        deepseek(vision={"model_name": "unknown"}),
        deepseek(vision={"model_name": "deeplip_b_l", "width": {}}),
        deepseek(projector={"projector_type": "spiral"}),
        {"model_type": "molmo2", "text_config": TEXT | {"model_type": "molmo2_text", "qk_norm_type": "spiral"}},
    ],
)
def test_unknown_parts_are_refused(config):
    with pytest.raises(UnsupportedModelError):
        total(config)


@pytest.mark.parametrize(("kind", "extra"), [("qwen3", 2 * 2 * 16), ("olmo", 2 * (32 + 16)), ("none", 0)])
def test_molmo2s_norms_of_queries_and_keys(kind, extra):
    text = TEXT | {"model_type": "molmo2_text", "additional_vocab_size": 0}
    text |= {"use_qk_norm": False} if kind == "none" else {"qk_norm_type": kind}
    plain = total(TEXT | {"model_type": "llama"})
    assert total({"model_type": "molmo2", "text_config": text, "tie_word_embeddings": True}) == plain + extra


def test_lfm3_without_gates_and_outer_norms():
    """Llama's layers and the norms of queries and keys: 2 layers × 2 × 16."""
    config = TEXT | {"model_type": "lfm3", "layer_types": 2 * ["full_attention"], "use_attention_gate": False,
                     "use_sandwich_norm": False, "conv_L_cache": 3}  # fmt: skip
    assert total(config) == total(TEXT | {"model_type": "llama"}) + 2 * 2 * 16
    assert total(config | {"use_attention_gate": True}) == total(config) + 2 * 2 * 32
