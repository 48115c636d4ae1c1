"""What one replica holds under vLLM with its default settings: terms over the figures of one GPU of a pipeline stage.

The figures are `tests.core.plan.stage_figures`, whole bytes that follow from the model's shapes; the terms give exactly the
users of `core.engines.vllm`, which the tests compare. Bytes stay below 2^53, so a spreadsheet computes them exactly.
"""

from __future__ import annotations

from core.plan.terms import Term, Terms, down, least, most, nearest, up, v, when

_VLLM = "vLLM 0.31 "

# What a GPU gives and a scenario takes, whatever the layout.
DEMAND = Terms(
    Term(
        name="shown_bytes",
        unit="bytes",
        means="Memory that a process on the GPU sees: what the driver reports, less what it reserves.",
        formula=v.memory_bytes - v.driver_reserved_bytes - nearest(v.memory_bytes * v.driver_reserved_share),
        source="totals in vLLM's logs against nvidia-smi's",
    ),
    Term(
        name="usable_bytes",
        unit="bytes",
        means="Memory that the engine may use.",
        formula=up(v.shown_bytes * v.memory_utilization),
        source=_VLLM + "v1/worker/utils.py, request_memory",
    ),
    Term(
        name="tokens",
        unit="tokens",
        means="Tokens that a sequence caches: its average where that is given, at most the context.",
        formula=when(v.average_tokens > 0, least(v.context, v.average_tokens), v.context),
        source="arXiv:2309.06180",
    ),
    Term(
        name="tokens_in_window",
        unit="tokens",
        means="Tokens that a layer with a window caches while a step computes more of them.",
        formula=least(v.window - 1 + v.step_tokens, v.tokens),
        source=_VLLM + "v1/kv_cache_interface.py, SlidingWindowSpec",
    ),
    Term(
        name="unfolded_tokens",
        unit="tokens",
        means="Cached tokens whose latents one step unfolds at most.",
        formula=least(v.most_unfolded_tokens, most(8 * v.context, 64 * v.max_sequences)),
        source=_VLLM + "mla_attention.py, determine_chunked_prefill_workspace_size",
    ),
)

# One GPU of one pipeline stage of a layout.
STAGE = Terms(
    Term(
        name="full_blocks",
        unit="blocks",
        means="Blocks of one sequence in the layers that cache every token.",
        formula=v.groups * up(v.tokens / v.block_tokens) + v.groups_2 * up(v.tokens / v.block_tokens_2),
        source=_VLLM + "v1/core/kv_cache_utils.py",
    ),
    Term(
        name="window_blocks",
        unit="blocks",
        means="Blocks of one sequence in the layers with a window; one more, as a window can begin inside a block.",
        formula=v.window_groups * (up(v.tokens_in_window / v.window_block_tokens) + 1),
        source=_VLLM + "v1/kv_cache_interface.py",
    ),
    Term(
        name="user_bytes",
        unit="bytes",
        means="KV cache of one user on the GPU.",
        formula=(v.full_blocks + v.window_blocks + v.states) * v.block_bytes,
    ),
    Term(
        name="image_bytes",
        unit="bytes",
        means="Images of the profiling run: as many of the largest as a step's tokens hold.",
        formula=most(1, down(v.step_tokens / v.image_tokens)) * v.bytes_per_image,
        source=_VLLM + "v1/worker/gpu_model_runner.py, profile_run",
    ),
    Term(
        name="held_bytes",
        unit="bytes",
        means="Buffers that stay allocated: images and the experts' workspace.",
        formula=(v.image_bytes + v.has_workspace * v.step_tokens * v.expert_bytes) * v.wide,
        source=_VLLM + "fused_moe.py, workspace_shapes",
    ),
    Term(
        name="forward_bytes",
        unit="bytes",
        means="Peak of the feed-forward block of a whole step.",
        formula=v.step_tokens * (v.forward_bytes_per_token * v.wide + v.is_8_bit * v.quantized_bytes_per_token),
        source="core/engines/vllm.py, forward_peak_bytes",
    ),
    Term(
        name="sampling_bytes",
        unit="bytes",
        means="Peak of sampling all sequences at once.",
        formula=(v.max_sequences * v.sampled_bytes_per_sequence + v.step_tokens * v.sampled_bytes_per_token) * v.wide,
        source=_VLLM + "v1/worker/gpu_model_runner.py, _dummy_sampler_run",
    ),
    Term(
        name="latent_bytes",
        unit="bytes",
        means="Peak of unfolding latents into keys and values.",
        formula=(v.unfolded_tokens * v.latent_bytes_per_token + v.step_tokens * v.latent_bytes_per_step_token) * v.wide,
        source=_VLLM + "mla_attention.py, forward_impl",
    ),
    Term(
        name="activation_bytes",
        unit="bytes",
        means="Peak activation of the engine's profiling run.",
        formula=v.workspace_bytes + v.held_bytes + most(v.forward_bytes, v.sampling_bytes, v.latent_bytes),
        source="core/engines/vllm.py, activation_peak_bytes",
    ),
    Term(
        name="kv_budget_bytes",
        unit="bytes",
        means="Memory that remains for the KV cache.",
        formula=v.usable_bytes - v.weights_bytes - v.activation_bytes - v.graph_bytes - v.other_bytes,
        source=_VLLM + "v1/worker/gpu_worker.py",
    ),
    Term(
        name="stage_users",
        unit="users",
        means="Users that fit next to the weights, at most the sequences that the engine runs at once.",
        formula=when(v.kv_budget_bytes > 0, least(v.max_sequences, down(v.kv_budget_bytes / v.user_bytes)), 0),
    ),
)
