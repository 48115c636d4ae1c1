"""The speed under an engine's settings: drafts, shared prompts, divided caches; worked by hand, and laws."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import catalog
from core.engines import llama_cpp, vllm
from core.engines.deployment import EngineSettings
from core.engines.served import DEFAULT_ACCEPTANCE
from core.errors import OutOfRangeError, UnsupportedModelError
from core.plan import speed_settings
from core.plan.fleet import Service
from core.plan.serving import service_of
from core.plan.speed import Load, speed, speed_inputs, users_at_speed, users_at_wanted_speed
from core.plan.speed_figures import NO_DRAFTS, attention_figures, draft_model_row, own_draft_row, weight_row
from core.plan.speed_settings import acceptance_note, drafts_of, drafts_warnings, prompt_and_attention

FP16 = catalog.precision("kv_precision", "fp16")
H200 = catalog.gpu("h200")
CHAT = Load(users=4, prompt_tokens=2000, output_tokens=500)


def service(name: str, draft: str = "", engine=vllm.ENGINE, **given) -> Service:
    drafter = catalog.model(draft).spec if draft else None
    spec = catalog.model(name).spec
    return service_of(spec, None, FP16, None, engine=engine, settings=EngineSettings(**given), draft=drafter)


def tokens_per_s(of: Service, load: Load = CHAT, tp: int = 8) -> float:
    return speed(of, H200, load, tp=tp).expected.tokens_per_s_per_user


def test_tokens_of_a_step():
    """One drafted token of which 85 % are accepted: 1.85 tokens a step; DeepSeek-V3's report says 1.8 times the speed."""
    for drafted, acceptance, tokens in ((1, 0.85, 1.85), (3, 0.5, 1 + 0.5 + 0.25 + 0.125), (4, 0, 1), (4, 1, 5)):
        found = drafts_of(EngineSettings(mtp_tokens=drafted, acceptance=acceptance))
        assert found["tokens_per_step"] == pytest.approx(tokens)
        assert found["verified_tokens"] == pytest.approx((drafted + 1) / tokens)
    plain = drafts_of(EngineSettings())
    assert plain["tokens_per_step"] == plain["verified_tokens"] == 1


def test_a_step_that_drafts_by_hand():
    """Llama-3.1-70B with Llama-3.2-1B: all that a step reads and computes, for five tokens at once.

    70.55 × 10⁹ parameters less the embedding of 128 256 × 8192, in 16 bits; the small model has 1.236 × 10⁹.
    """
    drafting = service("llama-3.1-70b", "llama-3.2-1b", mtp_tokens=4, acceptance=0.6)
    one, plain = replace(CHAT, users=1), service("llama-3.1-70b")
    terms = speed(drafting, H200, one, tp=4).terms
    before = speed(plain, H200, one, tp=4).terms
    tokens = 1 + 0.6 + 0.36 + 0.216 + 0.1296
    large, small = 70_553_706_496 - 128_256 * 8192, 1_235_814_400
    # Norms are on every rank, so the shares are not quite those of the models.
    expected = before["dense_read_s"] * (1 + 4 * small / large) / tokens
    assert terms["dense_read_s"] == pytest.approx(expected, rel=0.001)
    assert terms["dense_token_s"] == pytest.approx(
        before["dense_token_s"] * (5 + 4 * small / large) / tokens, rel=0.001
    )
    assert terms["kernels_s"] * tokens == pytest.approx((before["kernels"] + 4 * 16 * 9) * before["kernel_s"])
    assert terms["latency_s"] * tokens == pytest.approx(before["latency_s"] * (1 + 4 * 32 / 160))
    # Keys and values of 8 heads of 128 in 80 layers, of 8 heads of 64 in 16 layers.
    assert terms["cache_token_s"] * tokens == pytest.approx(before["cache_token_s"] * (1 + 4 * 16 * 64 / (80 * 128)))
    assert terms["prompt_s"] == before["prompt_s"]


def test_the_model_s_own_layer_drafts():
    plain, drafting = service("deepseek-v3"), service("deepseek-v3", mtp_tokens=1)
    gain = tokens_per_s(drafting, replace(CHAT, users=1)) / tokens_per_s(plain, replace(CHAT, users=1))
    assert 1.3 < gain < 1 + DEFAULT_ACCEPTANCE  # a step reads more experts, and its own layer
    assert "0.85" in acceptance_note(drafting)[0]
    assert acceptance_note(plain) == acceptance_note(service("deepseek-v3", mtp_tokens=1, acceptance=0.7)) == ()


def test_the_own_layer_by_hand():
    """DeepSeek-V3's layer: latent attention, 256 experts and a shared one, the projection of two hidden states, the head.

    Compressing projections, the router, the projection and norms are whole on each GPU; groups have all of the attention.
    """
    hidden, expert = 7168, 3 * 7168 * 2048
    compressing = hidden * (1536 + 512 + 64)
    attention = 1536 * 128 * 192 + 512 * 128 * 256 + 128 * 128 * hidden
    norms = 5 * hidden + 1536 + 512 + 256  # and the bias of the router
    whole, head = compressing + 256 * hidden + 2 * hidden**2 + norms, 129_280 * hidden
    spec = catalog.model("deepseek-v3").spec
    for tp, groups, parameters in (
        (1, 1, whole + attention + expert + head),
        (8, 1, whole + (attention + expert + head) / 8),
        (8, 8, whole + attention + (expert + head) / 8),
    ):
        row = own_draft_row(spec, FP16, tp, groups)
        assert (row.draft_bytes, row.draft_expert_bytes) == (2 * parameters, 2 * 256 * expert / tp)
        assert (row.draft_cache, row.draft_expert_work) == pytest.approx((1 / 61, 1 / 58))
        assert row.draft_all_reduces == (2 if tp > 1 else 0)
        main = weight_row(spec, FP16, tp, groups)
        operations = 2 * (parameters - norms)
        assert row.draft_work * (main.kept_flops + main.quantized_flops) == pytest.approx(operations)
    assert own_draft_row(catalog.model("llama-3.1-8b").spec, FP16, 1) == NO_DRAFTS


@pytest.mark.parametrize("precision", [None, FP16])
def test_drafts_are_those_of_the_format_the_size_and_the_groups(precision):
    spec = catalog.model("deepseek-v3").spec
    given = EngineSettings(mtp_tokens=2, acceptance=0.5, attention_dp=4)
    own = service_of(spec, precision, FP16, None, engine=vllm.ENGINE, settings=given)
    assert speed_settings.drafting(own, 8, 4) == drafts_of(given) | vars(own_draft_row(spec, precision, 8, 4))
    small = catalog.model("llama-3.2-1b").spec
    other = service_of(spec, precision, FP16, None, engine=vllm.ENGINE, settings=given, draft=small)
    assert speed_settings.drafting(other, 8, 4) == drafts_of(given) | vars(draft_model_row(small, spec, 2))
    assert speed_settings.drafting(service("deepseek-v3"), 8, 4) == drafts_of(EngineSettings()) | vars(NO_DRAFTS)


@settings(max_examples=30)
@given(
    st.sampled_from(["qwen3.5-27b", "deepseek-v3", "qwen3.5-35b-a3b"]),
    st.integers(1, 8), st.floats(0, 1), st.floats(0, 1), st.integers(1, 200),
)  # fmt: skip
def test_accepting_more_is_never_slower(name, drafted, first, second, users):
    low, high = sorted((first, second))
    load = replace(CHAT, users=users)
    slower, faster = (service(name, mtp_tokens=drafted, acceptance=accepted) for accepted in (low, high))
    assert tokens_per_s(slower, load) <= tokens_per_s(faster, load) * (1 + 1e-9)
    assert tokens_per_s(service(name, mtp_tokens=drafted, acceptance=0), load) < tokens_per_s(service(name), load)


@settings(max_examples=20)
@given(st.integers(1, 6), st.floats(0, 1), st.floats(1, 60))
def test_users_at_a_wanted_speed_get_it_with_drafts_too(drafted, acceptance, wanted):
    drafting = service("llama-3.1-70b", "llama-3.2-1b", mtp_tokens=drafted, acceptance=acceptance)
    users = users_at_wanted_speed(drafting, H200, CHAT, wanted, tp=4)
    found = speed(drafting, H200, replace(CHAT, users=users), tp=4)
    if users > 1 and not found.terms["waiting_users"]:
        assert found.low.tokens_per_s_per_user >= wanted * (1 - 1e-9)


def test_a_shared_prompt_is_computed_once():
    """Of 2000 tokens 1500 are shared: 93 whole blocks of 16, so that 512 tokens are left to compute."""
    shared = service("llama-3.1-70b", shared_tokens=1500)
    found, plain = (speed_inputs(one, H200, CHAT, tp=4) for one in (shared, service("llama-3.1-70b")))
    assert (found["shared_prompt_tokens"], found["computed_tokens"]) == (1488, 512)
    pairs = plain["prompt_attention_flops"] * (1 - (1488 / 2000) ** 2)
    assert found["prompt_attention_flops"] == pytest.approx(pairs)
    assert found["cache_bytes"] == plain["cache_bytes"]
    first, usual = (speed(one, H200, CHAT, tp=4).expected for one in (shared, service("llama-3.1-70b")))
    assert first.first_token_s < usual.first_token_s
    assert first.users_at_once > usual.users_at_once


def test_the_last_token_of_a_prompt_is_always_computed():
    for prompt, computed in ((2000, 16), (1, 1)):
        found = prompt_and_attention(service("llama-3.1-70b", shared_tokens=5000), 4, 2000, prompt)
        assert found["computed_tokens"] == computed


def test_without_a_shared_prompt_nothing_is_shared():
    of = service("llama-3.1-70b")
    assert prompt_and_attention(of, 4, 2000, 1500) == attention_figures(of.model, FP16, 4, 2000, 1500, 0)


def test_pairs_in_a_window_of_a_shared_prompt_are_computed_once():
    """A window of 1024: of the pairs of 4000 tokens, 1024 × (4000 − 512), those of 1600 before are left out."""
    found = prompt_and_attention(service("gemma-3-27b", shared_tokens=1600), 1, 4000, 4000)
    assert found["read_window"] == 1024
    assert found["window_pairs"] - found["shared_pairs"] == 1024 * (4000 - 1600)


@pytest.mark.parametrize("ranks", [2, 8])
def test_gpus_that_share_a_sequence_each_read_their_part(ranks):
    plain, divided = service("deepseek-v3"), service("deepseek-v3", context_parallel=ranks)
    found, whole = (speed_inputs(one, H200, CHAT, tp=8) for one in (divided, plain))
    assert found["cache_bytes"] == whole["cache_bytes"] / ranks


def test_groups_of_attention_have_their_own_sequences():
    found = speed(service("deepseek-v3", attention_dp=8), H200, replace(CHAT, users=80), tp=8)
    assert (found.terms["attention_groups"], found.terms["own_batch"]) == (8, 10)


def test_what_is_not_modelled_is_refused():
    on_cpu = service("llama-3.1-70b", engine=llama_cpp.ENGINE, gpu_layers=20)
    with pytest.raises(UnsupportedModelError) as refused:
        speed(on_cpu, H200, CHAT)
    remedy = "Leave it out, or ask for memory alone."
    assert str(refused.value) == f"gpu_layers: the speed of layers in CPU memory is not modelled. {remedy}"
    with pytest.raises(OutOfRangeError, match=r"mtp_tokens.*at least one token"):
        speed(service("llama-3.1-70b", "llama-3.2-1b"), H200, CHAT, tp=4)
    with pytest.raises(OutOfRangeError, match=r"draft_model.*pipeline stages"):
        speed(service("llama-3.1-70b", "llama-3.2-1b", mtp_tokens=2), H200, CHAT, tp=1, pp=2)


@pytest.mark.parametrize("groups", [2, 4, 8])
def test_groups_serve_nearly_the_users_that_trying_finds(groups):
    """DeepSeek-V3 with data-parallel attention: a group spends time on the attention and prompts of its users alone."""
    spec = catalog.model("deepseek-v3").spec
    settings = EngineSettings(attention_dp=groups)
    grouped = Service(model=spec, precision=None, kv_precision=catalog.cache_precision(spec, None), settings=settings)
    load = Load(users=1, prompt_tokens=2000, output_tokens=500)
    tried = users_at_speed(grouped, H200, load, 30, tp=8)
    assert 0.8 * tried <= users_at_wanted_speed(grouped, H200, load, 30, tp=8) <= tried


def test_what_is_doubtful_of_drafts():
    """Llama-3.2-1B drafts for 131 072 tokens at most, and for the own layer no longest is known."""
    assert drafts_warnings(service("llama-3.1-70b"), 200_000) == ()
    (usual,) = drafts_warnings(service("deepseek-v3", mtp_tokens=1), 200_000)
    assert usual.startswith(
        "mtp_tokens: the speed counts on 0.85 of the drafted tokens being accepted; it was not compared"
    )
    pair = service("llama-3.1-70b", "llama-3.2-1b", mtp_tokens=4, acceptance=0.6)
    (within,) = drafts_warnings(pair, 131_072)
    assert "counts on 0.6 of" in within
    _, beyond = drafts_warnings(pair, 131_073)
    assert beyond.startswith("draft_model: 131,073 tokens are beyond the longest that llama-3.2-1b drafts for, 131,072")
    unknown = replace(pair, draft=replace(pair.draft, max_position_embeddings=None))
    assert drafts_warnings(unknown, 200_000) == (within,)
