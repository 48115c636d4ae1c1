"""Compute what one replica holds: terms of the article's rule, and of vLLM with its default settings.

Figures of a model in a layout come from `core.plan.layout_figures`: whole bytes that follow from its shapes. With them
the terms give exactly the users of `core.engines.vllm`; tests/core/plan/test_memory.py compares the two. Bytes stay
below 2^53, so a spreadsheet computes them exactly too.
"""

from __future__ import annotations

from core.plan.terms import (
    MISSING,
    Expression,
    Term,
    Terms,
    all_of,
    any_of,
    down,
    equal,
    if_known,
    least,
    most,
    nearest,
    up,
    v,
    when,
)

_VLLM = "vLLM 0.31 "
# Cached tokens whose latents one step unfolds: the limit, and contexts or tokens of each sequence.
# Source: vLLM mla_attention.py, determine_chunked_prefill_workspace_size.
MOST_UNFOLDED_TOKENS, UNFOLDED_CONTEXTS, UNFOLDED_TOKENS_A_SEQUENCE = 64 * 1024, 8, 64

# A GPU under vLLM, for any model.
DEVICE = Terms(
    Term(
        name="shown_bytes",
        unit="bytes",
        means="Memory that a process on the GPU sees: what the driver reports, less what it reserves.",
        formula=v.memory_bytes - v.driver_reserved_bytes - nearest(v.memory_bytes * v.driver_reserved_share),
        source="totals in vLLM's logs against nvidia-smi's",
    ),
    Term(
        name="step_class",
        unit="",
        means="Class of GPU in vLLM's defaults, 1 to 3: by memory; small steps (A100, shared memory) are 1.",
        formula=1
        + when(
            any_of(
                v.shown_bytes >= v.largest_class_bytes,
                all_of(v.shown_bytes >= v.large_class_bytes, equal(v.small_steps, 0)),
            ),
            1,
            0,
        )
        + when(v.shown_bytes >= v.largest_class_bytes, 1, 0),
        source=_VLLM + "engine/arg_utils.py, get_batch_defaults",
    ),
    Term(
        name="step_tokens",
        unit="tokens",
        means="Most tokens of one step.",
        formula=when(
            equal(v.step_class, 1),
            v.step_tokens_1,
            when(v.shown_bytes >= v.largest_class_bytes, v.step_tokens_3, v.step_tokens_2),
        ),
        source=_VLLM + "engine/arg_utils.py, get_batch_defaults",
    ),
    Term(
        name="max_sequences",
        unit="sequences",
        means="Most sequences that the engine runs at once.",
        formula=when(equal(v.step_class, 1), v.max_sequences_1, v.max_sequences_2),
        source=_VLLM + "engine/arg_utils.py, get_batch_defaults",
    ),
    Term(
        name="usable_bytes",
        unit="bytes",
        means="Memory for weights, activations and cache: the engine's share, less CUDA graphs and workspace.",
        # The engine rounds its share up to a byte; programs round a number this large in different ways.
        formula=v.shown_bytes * v.memory_utilization - v.workspace_bytes - v.graph_bytes,
        source=_VLLM + "v1/worker/utils.py, request_memory",
    ),
)

# One GPU of a layout: what is left for weights, activations and cache.
ROOM = Terms(
    Term(
        name="room_bytes",
        unit="bytes",
        means="Usable memory, less what the process holds outside PyTorch; more with several GPUs.",
        formula=v.usable_bytes
        - when(v.tp > 1, v.other_several_bytes, when(v.pp > 1, v.other_stages_bytes, v.other_one_bytes)),
        source="core/engines/vllm.py, other_bytes",
    )
)

# LoRA adapters on the fullest GPU of a layout.
ADAPTERS = Terms(
    Term(
        name="adapter_bytes",
        unit="bytes",
        means="Places for LoRA adapters, which the engine reserves at the start.",
        formula=v.lora_values * v.lora_adapters * v.lora_rank * v.lora_value_bytes,
        source=_VLLM + "lora/layers, create_lora_weights",
    )
)

# The memory that a scenario needs in all, on any GPU: the article's sum.
ESTIMATE = Terms(
    Term(
        name="tokens",
        unit="tokens",
        means="Tokens that a sequence caches: with a paged cache its average, at most the context.",
        formula=when(equal(v.allocation, "paged"), least(v.context, v.average_tokens), v.context),
        source="arXiv:2309.06180",
    ),
    Term(
        name="allocated_tokens",
        unit="tokens",
        means="Tokens for which a sequence has memory: whole blocks with a paged cache.",
        formula=when(equal(v.allocation, "paged"), up(v.tokens / v.kv_block_tokens) * v.kv_block_tokens, v.context),
        source="arXiv:2309.06180",
    ),
    Term(
        name="tokens_in_window",
        unit="tokens",
        means="Tokens cached by layers with a window.",
        formula=least(v.allocated_tokens, v.window_tokens),
    ),
    Term(
        name="tokens_in_window_2",
        unit="tokens",
        means="Tokens cached by layers with a window of a second size.",
        formula=least(v.allocated_tokens, v.window_tokens_2),
    ),
    Term(
        name="user_values",
        unit="values",
        means="Values that a user's cache holds: keys and values of every token, of windows, and states.",
        formula=v.all_values_per_token * v.allocated_tokens
        + v.all_windowed_values * v.tokens_in_window
        + v.all_windowed_values_2 * v.tokens_in_window_2
        + v.all_fixed_values,
    ),
    Term(
        name="user_bytes",
        unit="bytes",
        means="KV cache of a user, with what has a fixed size and the index of sparse attention.",
        formula=v.user_values * v.value_bytes + v.all_fixed_bytes + v.all_index_bytes * v.allocated_tokens,
    ),
    Term(name="weights_gb", unit="GB", means="Weights in the chosen precision.", formula=v.all_weights_bytes / 10**9),
    Term(name="kv_gb", unit="GB", means="KV cache of all users.", formula=v.users * v.user_bytes / 10**9),
    Term(
        name="overhead_gb",
        unit="GB",
        means="The article's rule of thumb: a fraction on top of weights and cache.",
        formula=(v.weights_gb + v.kv_gb) * v.overhead,
    ),
    Term(
        name="total_gb",
        unit="GB",
        means="Weights, KV cache and overhead.",
        formula=v.weights_gb + v.kv_gb + v.overhead_gb,
    ),
    Term(
        name="by_division",
        unit="GPUs",
        means="The total divided by the memory of one GPU, rounded up; it may not be deployable.",
        formula=up(v.total_gb * 10**9 / v.memory_bytes),
    ),
)

# Data-parallel attention in a scenario.
GROUPS = Terms(
    Term(
        name="attention_groups",
        unit="",
        means="Groups of a replica's GPUs with their own attention and cache; 1 by the rule, which knows no engine.",
        formula=when(equal(v.by_engine, 1), v.attention_dp, 1),
        source="vLLM docs/serving/data_parallel_deployment.md",
    )
)

# What follows from the context alone, in every layout.
OF_CONTEXT = Terms(
    Term(
        name="shared_context",
        unit="tokens",
        means="Tokens of the context that all users share, cached once.",
        formula=least(v.shared_tokens, v.context),
    ),
    Term(
        name="tokens_with_drafts",
        unit="tokens",
        means="Tokens of a sequence for which it needs blocks: those that it caches, and those that a step drafts.",
        formula=v.tokens + v.mtp_tokens,
        source=_VLLM + "v1/core/kv_cache_manager.py, num_lookahead_tokens",
    ),
    Term(
        name="context_workspace_bytes",
        unit="bytes",
        means="Workspace for a sequence of the whole context, which some models need next to the activations.",
        formula=v.context_bytes * v.context,
        source="core/engines/compressed.py, context_bytes",
    ),
)


def _further_window_blocks(
    number: int, ordinal: str, groups: Expression, window: Expression, block_tokens: Expression
) -> Term:
    """Return the blocks of a further kind of layers with a window, as `window_blocks` has those of the first."""
    return Term(
        name=f"window_blocks_{number}",
        unit="blocks",
        means=f"Blocks of a user in a {ordinal} kind of layers with a window.",
        formula=groups * (up(least(window + v.scheduled_tokens, v.tokens_with_drafts) / most(1, block_tokens)) + 1),
        source=_VLLM + "v1/kv_cache_interface.py, SlidingWindowMLASpec",
    )


# One replica of a layout under vLLM: blocks of a user, the same in each stage.
BLOCKS = Terms(
    Term(
        name="scheduled_tokens",
        unit="tokens",
        means="Tokens of the steps that run, one on each stage, and of the next one, but for one token of the window.",
        formula=v.step_tokens * (v.pp + 1) - 1,
        source=_VLLM + "config/vllm.py, max_in_flight_tokens",
    ),
    Term(
        name="tokens_in_flight",
        unit="tokens",
        means="Tokens that a layer with a window caches while steps compute more of them.",
        formula=least(v.window + v.scheduled_tokens, v.tokens_with_drafts),
        source=_VLLM + "v1/kv_cache_interface.py, SlidingWindowSpec",
    ),
    Term(
        name="window_blocks",
        unit="blocks",
        means="Blocks of a user in layers with a window, one more as it can begin inside a block.",
        formula=v.window_groups * (up(v.tokens_in_flight / most(1, v.window_block_tokens)) + 1),
        source=_VLLM + "v1/kv_cache_interface.py, SlidingWindowSpec",
    ),
    _further_window_blocks(2, "second", v.window_groups_2, v.window_2, v.window_block_tokens_2),
    _further_window_blocks(3, "third", v.window_groups_3, v.window_3, v.window_block_tokens_3),
    Term(
        name="full_blocks",
        unit="blocks",
        means="Blocks of a user in layers that cache every token.",
        formula=v.groups * up(v.tokens_with_drafts / most(v.kv_block_tokens, v.block_tokens)),
        source=_VLLM + "v1/core/kv_cache_utils.py",
    ),
    Term(
        name="second_blocks",
        unit="blocks",
        means="Blocks of a user in layers that cache every token in blocks of a second length.",
        formula=v.groups_2 * up(v.tokens_with_drafts / most(1, v.block_tokens_2)),
        source=_VLLM + "v1/core/kv_cache_utils.py",
    ),
    Term(
        name="shared_full_blocks",
        unit="blocks",
        means="Blocks of the prompt that all users share, cached once, in layers that cache every token.",
        formula=v.groups * down(v.shared_context / most(v.kv_block_tokens, v.block_tokens)),
        source=_VLLM + "v1/core/kv_cache_manager.py, get_computed_blocks",
    ),
    Term(
        name="shared_blocks",
        unit="blocks",
        means="All blocks of that prompt, with those of a second length; windows and states keep a user's own.",
        formula=v.shared_full_blocks + v.groups_2 * down(v.shared_context / most(1, v.block_tokens_2)),
        source=_VLLM + "v1/core/kv_cache_manager.py, get_computed_blocks",
    ),
    Term(
        name="blocks",
        unit="blocks",
        means="Blocks of a user in all layers, without the shared ones and with one for each state.",
        formula=most(
            1,
            v.full_blocks
            + v.second_blocks
            + v.window_blocks
            + v.window_blocks_2
            + v.window_blocks_3
            + v.states
            - v.shared_blocks,
        ),
        source=_VLLM + "v1/core/kv_cache_utils.py",
    ),
    Term(
        name="unfolded_tokens",
        unit="tokens",
        means="Cached tokens whose latents one of the smallest steps unfolds at most; 0 for larger steps.",
        formula=when(
            equal(v.step_class, 1),
            least(
                v.most_unfolded_tokens, most(v.unfolded_contexts * v.context, v.unfolded_a_sequence * v.max_sequences)
            ),
            0,
        ),
        source=_VLLM + "mla_attention.py, determine_chunked_prefill_workspace_size",
    ),
)

# One GPU of one pipeline stage of a layout under vLLM.
STAGE = Terms(
    Term(
        name="activation_bytes",
        unit="bytes",
        means="Peak activation of the engine's profiling run: a whole step, or unfolding latents.",
        formula=most(v.step_activation_bytes, v.latent_fixed_bytes + v.latent_bytes_per_token * v.unfolded_tokens)
        * v.wide,
        source="core/engines/vllm.py, activation_peak_bytes",
    ),
    Term(
        name="kv_budget_bytes",
        unit="bytes",
        means="Memory that remains for the KV cache; below 0 if the weights do not fit.",
        formula=v.room_bytes - v.weights_bytes - v.activation_bytes - v.adapter_bytes - v.context_workspace_bytes,
        source=_VLLM + "v1/worker/gpu_worker.py",
    ),
    Term(
        name="stage_users",
        unit="users",
        means="Users whose blocks fit in the budget, at most the sequences that the engine runs at once.",
        formula=most(
            0, least(v.max_sequences, down((v.kv_budget_bytes / most(1, v.block_bytes) - v.shared_blocks) / v.blocks))
        ),
        source=_VLLM + "v1/core/kv_cache_utils.py",
    ),
)

# One replica of a layout by the article's rule: a fraction on top of weights and cache, on the fullest GPU.
RULE = Terms(
    Term(
        name="rule_weights_bytes",
        unit="bytes",
        means="Weights on the fullest GPU: its share of the parameters, or as shipped.",
        formula=when(equal(v.is_shipped, 1), v.shipped_bytes, v.all_weights_bytes * v.parameters / v.all_parameters),
    ),
    Term(
        name="rule_growing_bytes",
        unit="bytes",
        means="Cache of a user in layers that cache every token.",
        formula=(v.values_per_token * v.value_bytes + v.index_bytes) * v.allocated_tokens,
    ),
    Term(
        name="rule_windowed_values",
        unit="values",
        means="Values cached of a user in layers with a window.",
        formula=v.windowed_values * v.tokens_in_window + v.windowed_values_2 * v.tokens_in_window_2,
    ),
    Term(
        name="rule_user_bytes",
        unit="bytes",
        means="Cache of a user on the fullest GPU, states included.",
        formula=v.rule_growing_bytes + (v.rule_windowed_values + v.fixed_values) * v.value_bytes + v.fixed_bytes,
    ),
    Term(
        name="rule_users",
        unit="users",
        means="Users that fit in memory ÷ (1 + overhead) next to the weights.",
        formula=when(
            v.rule_user_bytes > 0,
            most(0, down((v.memory_bytes / (1 + v.overhead) - v.rule_weights_bytes) / v.rule_user_bytes)),
            0,
        ),
        source="the article's rule",
    ),
)

# A layout in nodes, and the replicas for all users.
PLACE = Terms(
    Term(
        name="replicas_in_node",
        unit="replicas",
        means="GPUs of a node ÷ GPUs of a replica.",
        formula=v.gpus_per_node / v.gpus_per_replica,
    ),
    Term(
        name="node_takes",
        unit="",
        means="1 if nodes take the layout: it divides a board evenly, is of cards, or each stage takes a whole node.",
        formula=when(
            v.replicas_in_node >= 1,
            when(equal((v.replicas_in_node - down(v.replicas_in_node)) * v.on_board, 0), 1, 0),
            when(all_of(equal(v.tp, v.gpus_per_node), v.pp <= v.most_nodes_per_replica), 1, 0),
        ),
    ),
)
REPLICAS = Terms(
    Term(
        name="users_per_replica",
        unit="users",
        means="Most users of a replica at once: by the engine, those of the stage with the fewest, in all its groups.",
        formula=when(
            equal(v.is_possible, 1),
            when(
                equal(v.by_engine, 1),
                least(v.stage_users, v.stage_users_2, v.stage_users_3) * v.attention_groups,
                v.rule_users,
            ),
            0,
        ),
    ),
    Term(
        name="replicas_needed",
        unit="replicas",
        means="Replicas that hold all users.",
        formula=when(v.users_per_replica > 0, up(v.users / v.users_per_replica), MISSING),
    ),
    Term(
        name="gpus",
        unit="GPUs",
        means="GPUs of the replicas that hold all users; missing above the most that are planned.",
        formula=if_known(
            [v.replicas_needed],
            when(
                v.replicas_needed * v.gpus_per_replica <= v.most_planned_gpus,
                v.replicas_needed * v.gpus_per_replica,
                MISSING,
            ),
        ),
    ),
)
# The order of layouts on one GPU type by size: fewest GPUs, then nodes, stages, and the largest tensor parallel size.
SIZE = Terms(
    Term(
        name="size_key",
        unit="",
        means="A number by which layouts are ordered: GPUs, then nodes, then stages, then GPUs of a stage, most first.",
        formula=if_known([v.gpus], (v.gpus * 10**6 + v.nodes) * 10**3 + v.pp * (v.gpus_per_node + 1) - v.tp),
    )
)

# All of them, in the order in which a reader needs them.
MEMORY_TERMS = (
    *ESTIMATE, *GROUPS, *DEVICE, *PLACE, *ROOM, *ADAPTERS, *OF_CONTEXT, *BLOCKS, *STAGE, *RULE, *REPLICAS, *SIZE,
)  # fmt: skip
