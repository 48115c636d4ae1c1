"""The speed of one replica as terms: a roofline with few constants, from the figures of `speed_figures`.

A step generates one token for each of the sequences that run. Its time is what weights, attention, kernels, sequences
and links take, one after the other; weights and attention take the longer of reading and computing (Williams et al.
2009, "Roofline"; Pope et al. 2022, arXiv:2211.05102). Prompts of new users share the steps, or interrupt them.
Constants come from core/catalog/data/speed_constants.csv.
"""

from __future__ import annotations

from core.plan.terms import Expression, Operand, Term, Terms, log2, most, v, when


def _mixed(native: Operand, widened: Expression, share: Expression) -> Expression:
    """Return an efficiency between that of native formats and that of formats that are widened to 16 bits."""
    return (widened - native) * share + native


def _all_reduce_s(tokens: Operand) -> Expression:
    """Return the time that all-reduces of a step or prompt need on the links: each adds up 16-bit values.

    A ring sends 2 (n − 1) ÷ n times the data (Thakur et al. 2005, "Optimization of Collective Communication
    Operations in MPICH").
    """
    bytes_sent = 4 * (v.tp - 1) / v.tp * v.gathered_values * tokens
    return v.all_reduces * bytes_sent / (v.link_bytes_per_s * v.link_efficiency)


STEP = Terms(
    Term(
        name="batch",
        unit="sequences",
        means="Sequences in a step of a pipeline stage; the stages work on different ones at the same time.",
        formula=most(1, v.sequences / v.pp),
    ),
    Term(
        name="own_batch",
        unit="sequences",
        means="Those of one group of ranks, where groups divide the sequences (wide expert parallelism).",
        formula=most(1, v.batch / v.attention_groups),
    ),
    Term(
        name="touched",
        unit="",
        means="Share of the routed experts that a step's tokens select: 1 − (1 − k ÷ E) ^ batch.",
        formula=1 - v.untouched**v.batch,
    ),
    Term(
        name="dense_read_s",
        unit="s",
        means="Time to read the weights that every token uses.",
        formula=v.dense_bytes
        / (v.bandwidth_bytes_per_s * v.maker_read * _mixed(v.dense_read, v.dense_read_widened, v.dense_widened)),
    ),
    Term(
        name="dense_compute_s",
        unit="s",
        means="Time to compute with them.",
        formula=v.own_batch
        * v.dense_peak_s
        / (v.maker_compute * v.compute * _mixed(1, v.compute_widened, v.dense_widened)),
    ),
    Term(
        name="expert_read_s",
        unit="s",
        means="Time to read the experts that the step's tokens select.",
        formula=v.expert_bytes
        * v.touched
        / (v.bandwidth_bytes_per_s * v.maker_read * _mixed(v.expert_read, v.expert_read_widened, v.expert_widened)),
    ),
    Term(
        name="expert_compute_s",
        unit="s",
        means="Time to compute with them.",
        formula=v.batch
        * v.expert_peak_s
        / (v.maker_compute * v.compute * _mixed(1, v.compute_widened, v.expert_widened)),
    ),
    Term(
        name="cache_read_s",
        unit="s",
        means="Time to read the cache of the sequences.",
        formula=v.own_batch * v.cache_bytes / (v.bandwidth_bytes_per_s * v.maker_read * v.cache_read),
    ),
    Term(
        name="attention_compute_s",
        unit="s",
        means="Time to compute attention over it, in 16 bits.",
        formula=v.own_batch * v.attention_flops / (v.sixteen_bit_flops_per_s * v.maker_compute * v.compute),
    ),
    Term(
        name="fixed_s",
        unit="s",
        means="Time that does not depend on sizes: of each kernel, and of the engine for a step and for each sequence.",
        formula=v.kernels * v.kernel_s + v.step_fixed_s + v.sequences / v.attention_groups * v.sequence_s,
    ),
    Term(
        name="latency_s",
        unit="s",
        means="Time of a step that its all-reduces, and sending to the next stage, take however little they send.",
        formula=(v.all_reduces * (1 + v.link_latency_growth * log2(v.tp)) + v.pp - 1) * v.link_latency_s,
    ),
    Term(
        name="links_s",
        unit="s",
        means="Time of a step on the links between GPUs: latency, and data over the links' bandwidth.",
        formula=v.latency_s + _all_reduce_s(v.own_batch),
    ),
    Term(
        name="attention_s",
        unit="s",
        means="Time of a step for attention: the longer of reading and computing.",
        formula=most(v.cache_read_s, v.attention_compute_s),
    ),
    Term(
        name="step_s",
        unit="s",
        means="Time of a step that reads no prompt.",
        formula=most(v.dense_read_s, v.dense_compute_s)
        + most(v.expert_read_s, v.expert_compute_s)
        + v.attention_s
        + v.fixed_s
        + v.links_s,
    ),
)

SPEED = Terms(
    *STEP,
    Term(
        name="prompt_dense_s",
        unit="s",
        means="Time to compute one prompt with the weights that every token uses; its last token alone needs the head.",
        formula=v.prompt_tokens
        * (v.dense_peak_s - v.head_peak_s)
        / (v.maker_compute * v.prompt_compute * _mixed(1, v.compute_widened, v.dense_widened)),
    ),
    Term(
        name="prompt_expert_s",
        unit="s",
        means="Time to compute one prompt with the experts that its tokens select.",
        formula=v.prompt_tokens
        * v.expert_peak_s
        / (v.maker_compute * v.prompt_compute * _mixed(1, v.compute_widened, v.expert_widened)),
    ),
    Term(
        name="prompt_pass_s",
        unit="s",
        means="Time to read the weights that a prompt needs once, which a short prompt takes at least.",
        formula=(v.dense_bytes + v.expert_bytes * (1 - v.untouched**v.prompt_tokens)) / v.bandwidth_bytes_per_s,
    ),
    Term(
        name="prompt_attention_s",
        unit="s",
        means="Time to compute attention within one prompt, in 16 bits.",
        formula=v.prompt_attention_flops / (v.sixteen_bit_flops_per_s * v.maker_compute * v.prompt_compute),
    ),
    Term(
        name="prompt_links_s",
        unit="s",
        means="Time of the all-reduces of a prompt's tokens.",
        formula=_all_reduce_s(v.prompt_tokens),
    ),
    Term(
        name="prompt_s",
        unit="s",
        means="Time to read one prompt alone.",
        formula=most(v.prompt_dense_s + v.prompt_expert_s, v.prompt_pass_s)
        + v.prompt_attention_s
        + v.kernels * v.kernel_s
        + v.prompt_links_s,
    ),
    Term(
        name="other_prompts",
        unit="prompts",
        means="Prompts of others that are read while a request is served: each of the others sends one.",
        formula=most(0, (v.sequences - 1) / v.pp / v.attention_groups),
    ),
    Term(
        name="prompts_s",
        unit="s",
        means="Time per output token in which prompts of others are read.",
        formula=v.prompt_contention * (1 - v.prompt_queue) * v.other_prompts * v.prompt_s / v.output_tokens,
    ),
    Term(
        name="token_s",
        unit="s",
        means="Time per output token: a step, and the prompts of others.",
        formula=v.step_s + v.prompts_s,
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
        formula=(v.dense_bytes + v.expert_bytes * v.touched + v.own_batch * v.cache_bytes) / v.bandwidth_bytes_per_s,
    ),
    Term(
        name="tokens_per_s_per_user",
        unit="tokens/s",
        means="Tokens per second that a user sees, once the first has come.",
        formula=1 / v.token_s,
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
        name="reading_s",
        unit="s",
        means="The part of a step that waits for memory.",
        formula=when(v.dense_read_s >= v.dense_compute_s, v.dense_read_s, 0)
        + when(v.expert_read_s >= v.expert_compute_s, v.expert_read_s, 0)
        + when(v.cache_read_s >= v.attention_compute_s, v.cache_read_s, 0),
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
