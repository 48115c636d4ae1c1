"""The speed of one replica as terms: a roofline with few constants, from the figures of `speed_figures`.

`WEIGHTS` and `ATTENTION` say what one GPU reads and computes, `DRAFTS` what a step yields, `PACE` how long that takes,
`LOAD` what users see, and `FAST` how many users can be served at a wanted speed.

A step generates one token for each of the sequences that run, or several if tokens are drafted; then its times are
those for each token that it yields. Its time is what weights, attention, kernels, sequences and links take, one after
the other; weights and attention take the longer of reading and computing (Williams et al.
2009, "Roofline"; Pope et al. 2022, arXiv:2211.05102). Prompts of new users share the steps, or interrupt them.
Constants come from core/catalog/data/speed_constants.csv.
"""

from __future__ import annotations

from dataclasses import replace

from core.plan.terms import Expression, Operand, Term, Terms, any_of, down, equal, known, least, log2, most, v, when


def _mixed(native: Operand, widened: Expression, share: Expression) -> Expression:
    """Return an efficiency between that of native formats and that of formats that are widened to 16 bits."""
    return (widened - native) * share + native


def _batch_within(left_s: Expression, slope_s: Expression) -> Expression:
    """Return the sequences of a stage for which steps take the time that is left, each of which adds the slope.

    Each part takes the longer of reading and computing, so the least of the combinations holds for both.
    """
    return least(v.batch_computing, (left_s - v.dense_read_s) / slope_s, left_s / (slope_s + v.dense_token_s))


def _pairs_in_window(tokens: Expression) -> Expression:
    """Return the pairs of a query and an earlier token among `tokens` tokens, in layers with a window."""
    read = least(tokens, v.read_window)
    return read * (tokens - read / 2)


def _untouched(tokens: Expression, rate: Expression = v.touch_rate, chance: Expression = v.untouched) -> Expression:
    """Return the share of experts that no token selects; 0 where a spreadsheet program's power would underflow."""
    return when(rate * tokens > 700, 0, chance**tokens)


def _untouched_in_step(sequences: Expression) -> Expression:
    """Return the same of the tokens that a step computes for its sequences, drafted ones included."""
    return _untouched(sequences, v.step_touch_rate, v.step_untouched)


def _tangent(number: int) -> tuple[Term, Term, Term]:
    """Return the line that touches the time of reading experts at the sequences `batch_<number>`."""
    batch, slope, share = getattr(v, f"batch_{number}"), f"slope_{number}_s", f"untouched_{number}"
    return (
        Term(
            name=share,
            unit="",
            means=f"Share of experts that no token of estimate {number} selects.",
            formula=_untouched_in_step(batch),
        ),
        Term(
            name=slope,
            unit="s",
            means=f"Time that one sequence more adds, with reading the experts that it adds at estimate {number}.",
            formula=v.growing_s + v.touching_s * getattr(v, share),
        ),
        Term(
            name=f"left_{number}_s",
            unit="s",
            means="What is left of the free time on that line.",
            formula=v.left_0_s + getattr(v, share) * (v.experts_read_s + v.touching_s * batch),
        ),
    )


# What one GPU of a tensor-parallel group reads and computes for a token with the weights, from `WeightRow`.
WEIGHTS = Terms(
    Term(
        name="dense_bytes",
        unit="bytes",
        means="Weights that every token uses, on one GPU: they are read in every step.",
        formula=v.kept_bytes + v.quantized_bytes,
    ),
    Term(
        name="dense_widened",
        unit="",
        means="Share of them that is widened to 16 bits before it is computed with.",
        formula=v.quantized_bytes / v.dense_bytes * v.dense_is_widened,
    ),
    Term(
        name="dense_peak_s",
        unit="s",
        means="Time of their operations for a token at the GPU's peak rates.",
        formula=v.kept_flops / v.sixteen_bit_flops_per_s + v.quantized_flops / v.dense_flops_per_s,
    ),
    Term(
        name="prompt_peak_s",
        unit="s",
        means="The same for a token of a prompt, of which the last alone needs the output head.",
        formula=v.kept_prompt_flops / v.sixteen_bit_flops_per_s + v.quantized_prompt_flops / v.dense_flops_per_s,
    ),
    Term(
        name="expert_peak_s",
        unit="s",
        means="Time of the operations of the experts that a token selects, at the GPU's peak rates.",
        formula=v.expert_flops / v.expert_flops_per_s,
    ),
    Term(
        name="quantizing_kernels",
        unit="kernels",
        means="Kernels of a step that quantize activations, where the GPU computes in the format.",
        formula=most(v.dense_quantizing * v.dense_is_native, v.expert_quantizing * v.expert_is_native),
    ),
    Term(name="kernels", unit="kernels", means="Kernels of a step.", formula=v.plain_kernels + v.quantizing_kernels),
)

# What token mixers of all layers read and compute on one GPU, from `AttentionRow`.
ATTENTION = Terms(
    Term(
        name="window_tokens_read",
        unit="tokens",
        means="Tokens that a query reads in layers with a window or sparse attention.",
        formula=least(v.mean_context, v.read_window),
    ),
    Term(
        name="cache_values_read",
        unit="values",
        means="Cached values that a sequence reads for one token.",
        formula=v.full_values * v.mean_context + v.window_values * v.window_tokens_read + v.once_values,
    ),
    Term(
        name="cache_bytes",
        unit="bytes",
        means="Bytes of the cache that a sequence reads for one token, with states and the index of sparse attention.",
        formula=v.cache_values_read * v.value_bytes + v.indexed_bytes * v.mean_context + v.once_bytes,
    ),
    Term(
        name="attention_flops",
        unit="operations",
        means="Operations of attention for one token of a sequence.",
        formula=v.full_flops * v.mean_context + v.window_flops * v.window_tokens_read + v.once_flops,
    ),
    Term(
        name="shared_prompt_tokens",
        unit="tokens",
        means="Tokens of a prompt that are cached already: whole blocks of the shared prompt, never the last token.",
        formula=down(least(v.shared_tokens, v.prompt_tokens - 1) / v.kv_block_tokens) * v.kv_block_tokens,
        source="vLLM v1/core/kv_cache_manager.py, get_computed_blocks",
    ),
    Term(
        name="computed_tokens",
        unit="tokens",
        means="Tokens of a prompt that are computed: those that are not cached already.",
        formula=v.prompt_tokens - v.shared_prompt_tokens,
    ),
    Term(
        name="window_pairs",
        unit="pairs",
        means="Pairs of a query and an earlier token of a prompt in layers with a window.",
        formula=_pairs_in_window(v.prompt_tokens),
    ),
    Term(
        name="shared_pairs",
        unit="pairs",
        means="Those pairs of the shared prompt.",
        formula=_pairs_in_window(v.shared_prompt_tokens),
    ),
    Term(
        name="prompt_window_flops",
        unit="operations",
        means="Operations of attention within windows for the tokens of a prompt that are computed.",
        formula=v.window_prompt_flops * (v.window_pairs - v.shared_pairs),
    ),
    Term(
        name="prompt_attention_flops",
        unit="operations",
        means="Operations of all attention for those tokens.",
        formula=(v.full_prompt_flops * (v.prompt_tokens + v.shared_prompt_tokens) / 2 + v.once_flops)
        * v.computed_tokens
        + v.prompt_window_flops,
    ),
)

# Drafted tokens (speculative decoding), which a step verifies all at once.
DRAFTS = Terms(
    Term(
        name="tokens_per_step",
        unit="tokens",
        means="Tokens that a step yields on average: drafted ones accepted in a row, and one of the model itself.",
        formula=when(
            equal(v.acceptance, 1), v.mtp_tokens + 1, (1 - v.acceptance ** (v.mtp_tokens + 1)) / (1 - v.acceptance)
        ),
        source="Leviathan et al. 2023, arXiv:2211.17192, equation 1",
    ),
    Term(
        name="verified_tokens",
        unit="tokens",
        means="Tokens that a step verifies for each that it yields.",
        formula=(v.mtp_tokens + 1) / v.tokens_per_step,
    ),
)

# A step that drafts tokens one after the other, for each token that it yields: figures of the model in `DraftRow`.
_STEP = Terms(
    Term(
        name="dense_token_bytes",
        unit="bytes",
        means="Dense weights that a step reads, also to draft, for each token that it yields.",
        formula=(v.dense_bytes + v.mtp_tokens * v.draft_bytes) / v.tokens_per_step,
    ),
    Term(
        name="expert_token_bytes",
        unit="bytes",
        means="All routed experts, of the layers that draft too, for each token that a step yields.",
        formula=(v.expert_bytes + v.mtp_tokens * v.draft_expert_bytes) / v.tokens_per_step,
    ),
    Term(
        name="cache_work",
        unit="",
        means="Cache that a step reads of a sequence for each token that it yields, as a multiple of one token's.",
        formula=(1 + v.mtp_tokens * v.draft_cache) / v.tokens_per_step,
    ),
    Term(name="cache_token_bytes", unit="bytes", means="The same in bytes.", formula=v.cache_bytes * v.cache_work),
    Term(
        name="dense_work",
        unit="",
        means="Operations with dense weights for each token that a step yields, as a multiple of those of one token.",
        formula=(1 + v.mtp_tokens * (1 + v.draft_work)) / v.tokens_per_step,
    ),
    Term(
        name="expert_work",
        unit="",
        means="The same of operations with experts.",
        formula=(1 + v.mtp_tokens * (1 + v.draft_expert_work)) / v.tokens_per_step,
    ),
    Term(
        name="step_untouched",
        unit="",
        means="Chance that no token that a step computes for a sequence selects an expert.",
        formula=v.untouched ** (v.mtp_tokens + 1),
    ),
    Term(name="step_touch_rate", unit="", means="−ln of that chance.", formula=v.touch_rate * (v.mtp_tokens + 1)),
    Term(
        name="step_kernels",
        unit="kernels",
        means="Kernels of a step, also to draft.",
        formula=v.kernels + v.mtp_tokens * v.draft_kernels,
    ),
    Term(
        name="step_all_reduces",
        unit="all-reduces",
        means="All-reduces of a step, also to draft.",
        formula=v.all_reduces + v.mtp_tokens * v.draft_all_reduces,
    ),
    Term(
        name="sequence_token_s",
        unit="s",
        means="Time of the engine for a sequence, for each token that a step yields.",
        formula=v.sequence_s / v.tokens_per_step,
    ),
    Term(
        name="stage_token_s",
        unit="s",
        means="Time to send to the next stage, for each token that a step yields.",
        formula=v.link_latency_s / v.tokens_per_step,
    ),
)

# How long the parts of a step and a prompt take on one GPU type with one tensor parallel size, at any load. The times
# of a step are for each token that it yields.
PACE = Terms(
    *_STEP,
    Term(
        name="dense_read_s",
        unit="s",
        means="Time of a step to read the weights that every token uses.",
        formula=v.dense_token_bytes
        / (v.bandwidth_bytes_per_s * v.maker_read * _mixed(v.dense_read, v.dense_read_widened, v.dense_widened)),
    ),
    Term(
        name="dense_token_s",
        unit="s",
        means="Time to compute with them for one token.",
        formula=v.dense_peak_s
        * v.dense_work
        / (v.maker_compute * v.compute * _mixed(1, v.compute_widened, v.dense_widened)),
    ),
    Term(
        name="experts_read_s",
        unit="s",
        means="Time of a step that reads all routed experts.",
        formula=v.expert_token_bytes
        / (v.bandwidth_bytes_per_s * v.maker_read * _mixed(v.expert_read, v.expert_read_widened, v.expert_is_widened)),
    ),
    Term(
        name="expert_token_s",
        unit="s",
        means="Time to compute with the experts that one token selects.",
        formula=v.expert_peak_s
        * v.expert_work
        / (v.maker_compute * v.compute * _mixed(1, v.compute_widened, v.expert_is_widened)),
    ),
    Term(
        name="cache_token_s",
        unit="s",
        means="Time to read the cache of one sequence.",
        formula=v.cache_bytes * v.cache_work / (v.bandwidth_bytes_per_s * v.maker_read * v.cache_read),
    ),
    Term(
        name="attention_compute_s",
        unit="s",
        means="Time to compute attention over it, in 16 bits.",
        formula=v.attention_flops * v.verified_tokens / (v.sixteen_bit_flops_per_s * v.maker_compute * v.compute),
    ),
    Term(
        name="attention_token_s",
        unit="s",
        means="Time of attention for one sequence: the longer of reading and computing.",
        formula=most(v.cache_token_s, v.attention_compute_s),
    ),
    Term(
        name="kernels_s",
        unit="s",
        means="Time of a step that does not depend on sizes: of each kernel, and of the engine.",
        formula=(v.step_kernels * v.kernel_s + v.step_fixed_s) / v.tokens_per_step,
    ),
    Term(
        name="latency_s",
        unit="s",
        means="Time of a step that its all-reduces take however little they send.",
        formula=v.step_all_reduces * (1 + v.link_latency_growth * log2(v.tp)) * v.stage_token_s,
    ),
    Term(
        name="ring_bytes",
        unit="bytes",
        means="Bytes that a GPU sends for one token in all all-reduces: 2 (n − 1) ÷ n times the 16-bit values.",
        formula=v.all_reduces * (4 * (v.tp - 1) / v.tp * v.gathered_values),
        source="Thakur et al. 2005, Optimization of Collective Communication Operations in MPICH",
    ),
    Term(
        name="link_token_s",
        unit="s",
        means="Time of the data of one token on the links.",
        formula=v.ring_bytes / (v.link_bytes_per_s * v.link_efficiency),
    ),
    Term(
        name="prompt_dense_s",
        unit="s",
        means="Time to compute one prompt with the weights that every token uses.",
        formula=v.computed_tokens
        * v.prompt_peak_s
        / (v.maker_compute * v.prompt_compute * _mixed(1, v.compute_widened, v.dense_widened)),
    ),
    Term(
        name="prompt_expert_s",
        unit="s",
        means="Time to compute one prompt with the experts that its tokens select.",
        formula=v.computed_tokens
        * v.expert_peak_s
        / (v.maker_compute * v.prompt_compute * _mixed(1, v.compute_widened, v.expert_is_widened)),
    ),
    Term(
        name="prompt_pass_s",
        unit="s",
        means="Time to read the weights that a prompt needs once, which a short prompt takes at least.",
        formula=(v.dense_bytes + v.expert_bytes * (1 - _untouched(v.computed_tokens))) / v.bandwidth_bytes_per_s,
    ),
    Term(
        name="prompt_weights_s",
        unit="s",
        means="Time of one prompt for weights: the longer of computing and reading.",
        formula=most(v.prompt_dense_s + v.prompt_expert_s, v.prompt_pass_s),
    ),
    Term(
        name="prompt_attention_s",
        unit="s",
        means="Time to compute attention within one prompt, in 16 bits.",
        formula=v.prompt_attention_flops / (v.sixteen_bit_flops_per_s * v.maker_compute * v.prompt_compute),
    ),
    Term(
        name="prompt_s",
        unit="s",
        means="Time to read one prompt alone: weights, attention, kernels and the data of its tokens on the links.",
        formula=v.prompt_weights_s + v.prompt_attention_s + v.kernels * v.kernel_s + v.computed_tokens * v.link_token_s,
    ),
    Term(
        name="range_factor",
        unit="",
        means="Expected ÷ low, and high ÷ expected: of the maker or engine, of slow links, or of current engines.",
        formula=when(v.own_range > 0, v.own_range, when(equal(v.is_slow_link, 1), v.range_nodes, v.range_current)),
        source="errors of measured groups and sources that were left out of the fit: docs/speed.md",
    ),
    Term(
        name="few_users_factor",
        unit="",
        means="The same where a replica runs fewer than 4 users.",
        formula=when(
            any_of(v.own_range > 0, equal(v.is_slow_link, 1), equal(v.expert_bytes, 0)),
            v.range_factor,
            v.range_few_users,
        ),
    ),
    Term(
        name="prompt_share_s",
        unit="s",
        means="Time per output token that the prompt of one other user takes.",
        formula=v.prompt_contention * (1 - v.prompt_queue) * v.prompt_s / v.output_tokens,
    ),
)

# The most users that a replica serves at a wanted speed, within a node. A step with b sequences in each stage takes
# free of what does not grow with b; the share of touched experts is concave in b, so a tangent bounds it from above:
# the users found are never too many, and two tangents bring them to the true number. A wish of next to nothing is none.
FAST = Terms(
    Term(
        name="longest_token_s",
        unit="s",
        means="Longest time per output token at which the low end of the range still is the wanted speed.",
        formula=when(v.min_speed * 10**6 > 1, 1 / (v.min_speed * most(v.range_factor, v.few_users_factor)), 10**6),
    ),
    Term(
        name="spent_s",
        unit="s",
        means="Time per output token that a sequence adds, without weights and without the engine's time for it.",
        formula=v.attention_token_s + v.link_token_s * v.verified_tokens + v.prompt_share_s,
    ),
    Term(
        name="unspent_s",
        unit="s",
        means="What kernels and the latency of all-reduces leave of the longest time.",
        formula=v.longest_token_s - v.kernels_s - v.latency_s,
    ),
    Term(
        name="touching_s",
        unit="s",
        means="Time to read the experts that the first token selects, where no other token does.",
        formula=v.experts_read_s * v.step_touch_rate,
    ),
    Term(
        name="growing_s",
        unit="s",
        means="Time per output token that grows with each sequence of a stage, in its group, without weights.",
        formula=(v.spent_s + v.pp * v.sequence_token_s) / v.attention_groups,
    ),
    Term(
        name="free_s",
        unit="s",
        means="What is left of the longest time for weights and for what grows with sequences.",
        formula=v.unspent_s - (v.pp - 1) * v.stage_token_s + v.prompt_share_s / v.pp / v.attention_groups,
    ),
    Term(
        name="slope_0_s",
        unit="s",
        means="Time that one sequence more adds where computing with experts takes longer than reading them.",
        formula=v.growing_s + v.expert_token_s,
    ),
    Term(
        name="batch_computing",
        unit="sequences",
        means="Sequences of a stage at that speed if computing with experts takes longer than reading them.",
        formula=least((v.free_s - v.dense_read_s) / v.slope_0_s, v.free_s / (v.slope_0_s + v.dense_token_s)),
    ),
    Term(
        name="left_0_s",
        unit="s",
        means="What is left of the free time if every step reads all experts.",
        formula=v.free_s - v.experts_read_s,
    ),
    Term(
        name="batch_1",
        unit="sequences",
        means="Sequences of a stage at that speed if every step reads all experts; at least 1.",
        formula=most(1, _batch_within(v.left_0_s, v.growing_s)),
    ),
    *_tangent(1),
    Term(
        name="batch_2",
        unit="sequences",
        means="Sequences of a stage at that speed, with the experts that estimate 1 selects; at least 1.",
        formula=most(1, _batch_within(v.left_1_s, v.slope_1_s)),
    ),
    *_tangent(2),
    Term(
        name="batch_3",
        unit="sequences",
        means="The same, from the experts that the number before touches.",
        formula=_batch_within(v.left_2_s, v.slope_2_s),
    ),
    Term(
        name="users_at_speed",
        unit="users",
        means="Users of a replica that each get the wanted speed at the low end of the range; 1 if fewer do.",
        formula=when(v.batch_3 >= 1, down(v.batch_3 * v.pp), 1),
    ),
)

# The first of them, which are the same in every layout with one tensor parallel size.
ANY_LAYOUT = ("longest_token_s", "spent_s", "unspent_s", "touching_s")

PARTS = ("bandwidth", "compute", "fixed time", "links")  # of the time per token, which can limit the speed

# A replica under its load.
LOAD = Terms(
    Term(
        name="batch",
        unit="sequences",
        means="Sequences in a step of a pipeline stage; the stages work on different ones at the same time.",
        formula=most(1, v.sequences / v.pp),
    ),
    Term(
        name="own_batch",
        unit="sequences",
        means="Those of one group of ranks, where groups divide the sequences (data-parallel attention).",
        formula=most(1, v.batch / v.attention_groups),
    ),
    Term(
        name="touched",
        unit="",
        means="Share of the routed experts that a step's tokens select: 1 − (1 − k ÷ E) ^ tokens.",
        formula=1 - _untouched_in_step(v.batch),
    ),
    Term(
        name="experts_s",
        unit="s",
        means="Time of a step to read the experts that its tokens select.",
        formula=v.experts_read_s * v.touched,
    ),
    Term(
        name="weights_s",
        unit="s",
        means="Time of a step for weights: the longer of reading and computing, of dense weights and of experts.",
        formula=most(v.dense_read_s, v.own_batch * v.dense_token_s) + most(v.experts_s, v.batch * v.expert_token_s),
    ),
    Term(
        name="attention_s", unit="s", means="Time of a step for attention.", formula=v.own_batch * v.attention_token_s
    ),
    Term(
        name="fixed_s",
        unit="s",
        means="Time that does not depend on sizes: of kernels, and of the engine for a step and for each sequence.",
        formula=v.kernels_s + v.sequences / v.attention_groups * v.sequence_token_s,
    ),
    Term(
        name="links_s",
        unit="s",
        means="Time of a step on the links between GPUs: latency, sending to the next stage, and data.",
        formula=v.latency_s + (v.pp - 1) * v.stage_token_s + v.own_batch * (v.link_token_s * v.verified_tokens),
    ),
    Term(
        name="step_s",
        unit="s",
        means="Time of a step that reads no prompt.",
        formula=v.weights_s + v.attention_s + v.fixed_s + v.links_s,
    ),
    Term(
        name="other_prompts",
        unit="prompts",
        means="Prompts of others that are read while a request is served: each of the others sends one.",
        formula=most(0, (v.sequences - 1) / v.pp / v.attention_groups),
    ),
    Term(
        name="token_s",
        unit="s",
        means="Time per output token: a step, and the prompts of others.",
        formula=v.step_s + v.other_prompts * v.prompt_share_s,
    ),
    Term(
        name="first_token_s",
        unit="s",
        means="Time from a request to its first token: its prompt, prompts before it, a step, the server's fixed time.",
        formula=v.prompt_s * (1 + v.prompt_contention * v.prompt_queue * v.other_prompts) + v.step_s + v.request_s,
    ),
    Term(
        name="request_s_total",
        unit="s",
        means="Time from a request to its last token.",
        formula=v.first_token_s + (v.output_tokens - 1) * v.token_s,
    ),
    Term(
        name="least_step_s",
        unit="s",
        means="Time to read what a step needs at the memory's full bandwidth: no step takes less.",
        formula=(v.dense_token_bytes + v.expert_token_bytes * v.touched + v.own_batch * v.cache_token_bytes)
        / v.bandwidth_bytes_per_s,
    ),
    Term(
        name="tokens_per_s_per_user",
        unit="tokens/s",
        means="Tokens per second that a user sees, once the first has come.",
        formula=1 / v.token_s,
    ),
    Term(
        name="spread",
        unit="",
        means="Expected ÷ low, and high ÷ expected, for the users of a replica.",
        formula=when(v.sequences < 4, v.few_users_factor, v.range_factor),
    ),
    Term(
        name="low_tokens_per_s",
        unit="tokens/s",
        means="Tokens per second that a user sees, at the low end of the range.",
        formula=v.tokens_per_s_per_user / v.spread,
    ),
    Term(
        name="high_tokens_per_s",
        unit="tokens/s",
        means="The same at the high end, which is not beyond the memory's bandwidth.",
        formula=least(v.tokens_per_s_per_user * v.spread, 1 / v.least_step_s),
    ),
    Term(
        name="output_tokens_per_s",
        unit="tokens/s",
        means="Output tokens per second of all users that run.",
        formula=v.running_users * v.output_tokens / v.request_s_total,
    ),
    Term(
        name="tokens_per_day",
        unit="tokens",
        means="Output tokens of a day at this load.",
        formula=v.output_tokens_per_s * 86_400,
    ),
    Term(
        name="dense_reading_s",
        unit="s",
        means="The part of a step that waits for dense weights from memory.",
        formula=when(v.dense_read_s >= v.own_batch * v.dense_token_s, v.dense_read_s, 0),
    ),
    Term(
        name="experts_reading_s",
        unit="s",
        means="The part of a step that waits for experts from memory.",
        formula=when(v.experts_s >= v.batch * v.expert_token_s, v.experts_s, 0),
    ),
    Term(
        name="reading_s",
        unit="s",
        means="The part of a step that waits for memory.",
        formula=v.dense_reading_s
        + v.experts_reading_s
        + when(v.cache_token_s >= v.attention_compute_s, v.attention_s, 0),
    ),
    Term(
        name="computing_s",
        unit="s",
        means="The part of a step that computes, and prompts.",
        formula=v.token_s - v.reading_s - v.fixed_s - v.links_s,
    ),
    Term(
        name="largest_part",
        unit="",
        means="What takes the largest part of the time per token.",
        formula=when(
            v.reading_s >= most(v.computing_s, v.fixed_s, v.links_s),
            "bandwidth",
            when(
                v.computing_s >= most(v.fixed_s, v.links_s),
                "compute",
                when(v.fixed_s >= v.links_s, "fixed time", "links"),
            ),
        ),
    ),
    Term(
        name="limited_by",
        unit="",
        means="The largest part of the time per token, or memory where users wait for a free place.",
        formula=when(v.waiting_users > 0, "memory", v.largest_part),
    ),
)

# Users who share a number of replicas, some of whom may wait for a free place.
SHARED = Terms(
    Term(
        name="running_users",
        unit="users",
        means="Users that run at once in all replicas.",
        formula=least(v.users, v.replicas * v.running),
    ),
    Term(
        name="sequences",
        unit="sequences",
        means="Sequences that a replica runs, at least 1.",
        formula=most(1, v.running_users / v.replicas),
    ),
    Term(
        name="waiting_users",
        unit="users",
        means="Users who wait for a free place in memory.",
        formula=v.users - least(v.users, v.replicas * v.fitting),
    ),
)

# A replica of a plan: how many users it serves, and how many sequences that is at once.
SERVED = Terms(
    Term(
        name="users_per_replica",
        unit="users",
        means="Users of a replica: those that fit, or fewer if only they each get the wanted speed.",
        formula=least(v.fitting, v.users_at_speed),
    ),
    Term(
        name="sequences",
        unit="sequences",
        means="Sequences that a replica runs: its share of the users, at least 1; 1 if the users do not fit.",
        formula=when(known(v.replicas_needed), most(1, v.users / v.replicas_needed), 1),
    ),
)
# Its load. Left out is what needs users that wait, which no plan has.
SERVED_LOAD = Terms(*(term for term in LOAD if term.name not in ("tokens_per_day", "limited_by")))

# What a speed that users measured themselves takes the place of: name of a term → its formula. It is tokens per second
# of a user under the load that is planned; 0 where nothing was measured.
MEASURED: dict[str, Expression] = {
    "users_per_replica": when(
        v.measured_speed > 0, when(v.measured_speed >= v.min_speed, v.fitting, 1), SERVED["users_per_replica"].formula
    ),
    "token_s": when(v.measured_speed > 0, 1 / v.measured_speed, LOAD["token_s"].formula),
    "spread": when(v.measured_speed > 0, 1, LOAD["spread"].formula),
    "high_tokens_per_s": when(v.measured_speed > 0, v.low_tokens_per_s, LOAD["high_tokens_per_s"].formula),
}
MEASURED_SERVED = Terms(replace(SERVED["users_per_replica"], formula=MEASURED["users_per_replica"]))

# A replica under its load, from figures of the model and facts of the GPU.
SPEED = Terms(*PACE, *LOAD)
MEASURED_SPEED = Terms(*(replace(term, formula=MEASURED.get(term.name, term.formula)) for term in SPEED))

# All of them, in the order in which a reader needs them.
SPEED_TERMS = (*WEIGHTS, *ATTENTION, *DRAFTS, *PACE, *FAST, *LOAD)
