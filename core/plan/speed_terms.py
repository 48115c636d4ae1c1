"""The speed of one replica as terms: a roofline with few constants, from the figures of `speed_figures`.

A step generates one token for each of the sequences that run. Its time is what weights, attention, kernels, sequences
and links take, one after the other; weights and attention take the longer of reading and computing (Williams et al.
2009, "Roofline"; Pope et al. 2022, arXiv:2211.05102). Prompts of new users share the steps, or interrupt them.
Constants are in core/catalog/data/speed_constants.csv.
"""

from __future__ import annotations

from core.plan.terms import Term, Terms, equal, least, log2, most, v, when


def _roof(read_s: object, compute_s: object):  # type: ignore[no-untyped-def]
    return most(read_s, compute_s)


SPEED = Terms(
    Term(
        name="batch",
        unit="sequences",
        means="Sequences in one step of a pipeline stage: the stages work on different ones at the same time.",
        formula=most(1, v.sequences / v.pp),
    ),
    Term(
        name="read_bytes_per_s",
        unit="B/s",
        means="Bandwidth of one GPU's memory.",
        formula=v.bandwidth_bytes_per_s,
    ),
    Term(
        name="touched",
        unit="",
        means="Share of the routed experts that a step's tokens select: 1 − (1 − k ÷ E)^batch.",
        formula=1 - v.untouched**v.batch,
    ),
    Term(
        name="dense_s",
        unit="s",
        means="Time of a step for the weights that every token uses: the longer of reading and computing.",
        formula=most(
            v.dense_bytes / (v.bandwidth_bytes_per_s * v.dense_read_efficiency),
            v.batch * v.dense_compute_s / v.compute_rate,
        ),
    ),
    Term(
        name="expert_s",
        unit="s",
        means="Time of a step for the experts that its tokens select.",
        formula=most(
            v.expert_bytes * v.touched / (v.bandwidth_bytes_per_s * v.expert_read_efficiency),
            v.batch * v.expert_compute_s / v.compute_rate,
        ),
    ),
    Term(
        name="attention_s",
        unit="s",
        means="Time of a step for attention: the longer of reading the cache and computing.",
        formula=v.batch
        * most(
            v.cache_bytes / (v.bandwidth_bytes_per_s * v.cache_read_efficiency),
            v.attention_flops / (v.bf16_flops_per_s * v.compute_efficiency),
        ),
    ),
    Term(
        name="kernels_s",
        unit="s",
        means="Time of a step that kernels take however small they are.",
        formula=v.kernels * v.kernel_s,
    ),
    Term(
        name="sequences_s",
        unit="s",
        means="Time of a step that the engine takes for each sequence: scheduling, sampling, sending text.",
        formula=v.sequences * v.sequence_s,
    ),
    Term(
        name="links_s",
        unit="s",
        means="Time of a step's all-reduces between GPUs: latency and, over the links' bandwidth, the values added up.",
        formula=v.all_reduces
        * (
            v.link_latency_s * (1 + v.link_latency_growth * log2(v.tp))
            + 4 * (v.tp - 1) / v.tp * v.batch * v.gathered_values / (v.link_bytes_per_s * v.link_efficiency)
        ),
    ),
    Term(
        name="step_s",
        unit="s",
        means="Time of a step that reads no prompt.",
        formula=v.dense_s + v.expert_s + v.attention_s + v.kernels_s + v.sequences_s + v.links_s + v.step_fixed_s,
    ),
    Term(
        name="prompt_compute_s",
        unit="s",
        means="Time to compute one prompt, at least the time to read the weights once.",
        formula=most(
            v.prompt_tokens * (v.dense_compute_s - v.head_compute_s + v.expert_compute_s) / v.prompt_compute_rate,
            (v.dense_bytes + v.expert_bytes * (1 - v.untouched**v.prompt_tokens)) / v.bandwidth_bytes_per_s,
        )
        + v.prompt_attention_flops / (v.bf16_flops_per_s * v.prompt_attention_efficiency),
    ),
    Term(
        name="prompt_s",
        unit="s",
        means="Time to read one prompt alone: its computation, kernels, and all-reduces of its tokens.",
        formula=v.prompt_compute_s
        + v.kernels_s
        + v.all_reduces
        * 4 * (v.tp - 1) / v.tp * v.prompt_tokens * v.gathered_values / (v.link_bytes_per_s * v.link_efficiency),
    ),
    Term(
        name="prompt_share",
        unit="",
        means="Share of the steps that also read a chunk of another user's prompt.",
        formula=v.mixes_prompts
        * least(0.95, v.mixed_share * (v.sequences - 1) * v.prompt_tokens / v.chunk_tokens / v.output_tokens),
    ),
    Term(
        name="token_s",
        unit="s",
        means="Time per output token: steps without prompts, attention of steps with prompts, and reading the prompts of "
        "the other users that come while one is answered.",
        formula=v.step_s * (1 - v.prompt_share)
        + v.attention_s * v.prompt_share
        + (v.sequences - 1) / v.output_tokens * v.prompt_s / v.pp * v.prompt_interference,
    ),
    Term(
        name="first_wait_s",
        unit="s",
        means="Time from request to first token, on average over users that all send prompts.",
        formula=v.prompt_s * (1 + v.prompt_queue * (v.sequences - 1) / v.pp) + v.step_s + v.request_s,
    ),
    Term(
        name="request_total_s",
        unit="s",
        means="Time of one request from start to end.",
        formula=v.prompt_s * (1 + v.restart_share * (v.sequences - 1) / v.pp)
        + v.step_s
        + v.request_s
        + v.output_tokens * v.token_s,
    ),
    Term(
        name="output_per_s",
        unit="tokens/s",
        means="Output tokens per second of one replica.",
        formula=v.sequences * v.output_tokens / v.request_total_s,
    ),
)
