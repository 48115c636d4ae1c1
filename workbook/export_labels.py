"""Hold texts of exported pages about speed, alternatives, acceptance and risks: key → (English, Chinese)."""

from __future__ import annotations

_TEXTS = {
    # Assumptions
    "min_speed": ("Wanted speed of a user", "每用户期望速度"),
    "unit_min_speed": ("tokens/s", "token/秒"),
    "source_min_speed": (
        "About twice silent reading: 238 words a minute (Brysbaert 2019) of 1.3 tokens; 0 for any speed",
        "约为默读速度的两倍：每分钟 238 词（Brysbaert 2019），每词 1.3 token；0 为任意速度",
    ),
    "source_constant": ("Calibrated on {rows} measured rows: {source}", "由 {rows} 行实测数据标定：{source}"),
    # Speed
    "section_speed": ("Speed", "速度"),
    "low_tokens_per_s": ("A user gets, low end", "每用户速度，低端"),
    "tokens_per_s_per_user": ("… expected", "…预期"),
    "high_tokens_per_s": ("… high end", "…高端"),
    "first_token": ("First token after", "首 token 时间"),
    "slow_first_token": ("… slow end", "…慢端"),
    "output_tokens_per_s": ("All users together", "全部用户合计"),
    "limits": ("What limits the speed", "速度瓶颈"),
    "unit_speed": ("tokens/s", "token/秒"),
    "unit_seconds": ("s", "秒"),
    "fitting_users": ("Users that fit in a replica", "副本可容纳的用户数"),
    "sequences": ("Users of a replica at the load", "负载下每副本用户数"),
    "is_fast": ("Fast enough (1 yes)", "速度足够（1 是）"),
    "answer_speed": (
        "Each user gets {low_tokens_per_s} to {high_tokens_per_s} tokens/s, {tokens_per_s_per_user} expected; the first "
        "token comes after {first_token} to {slow_first_token} s. Limit: {limits}.",
        "每用户 {low_tokens_per_s} 至 {high_tokens_per_s} token/s，预期 {tokens_per_s_per_user}；首 token 需 {first_token} 至 "
        "{slow_first_token} 秒。瓶颈：{limits}。",
    ),
    "speed_unknown": ("The speed is unknown: no layout can be chosen, or an input is invalid.", "速度未知：没有可选布局，或输入无效。"),
    "answer_slow": (
        "Every layout of this GPU is too slow for the wanted speed: choose a faster GPU, a smaller precision or fewer tokens.",
        "这款 GPU 的任何布局都达不到期望速度：请选择更快的 GPU、更低的精度或更短的上下文。",
    ),
    "answer_no_kernel": (
        "No kernel of the engine runs this precision on this GPU: choose another precision or another GPU.",
        "引擎没有可在这款 GPU 上运行该精度的核：请选择其他精度或 GPU。",
    ),
    "answer_no_rate": (
        "The compute rate of this GPU is not known, and so not whether it is fast enough: choose another GPU.",
        "这款 GPU 的计算速率未知，无法判断速度是否足够：请选择其他 GPU。",
    ),
    "binds_speed": ("the wanted speed", "期望速度"),
    "binds_slow": ("too slow", "速度不足"),
    "binds_no_kernel": ("no kernel for the precision", "该精度无可用核"),
    "binds_no_rate": ("compute rate not known", "计算速率未知"),
    "caveat_memory": (
        "By memory alone: a model that fits may still be too slow. With known prices the layout is the cheapest over the "
        "horizon, otherwise the one with the fewest GPUs.",
        "仅按显存计算：放得下的模型仍可能过慢。有已知价格时选规划期内成本最低的布局，否则选 GPU 最少的布局。",
    ),
    # Alternatives
    "section_alternatives": ("Alternatives considered", "已比较的备选项"),
    "alternatives_gpu": ("GPUs", "GPU 型号"),
    "alternatives_way": ("Way; layout", "方式；布局"),
    "alternatives_speed": ("Tokens/s of a user, low – expected – high", "每用户 token/s，低 – 预期 – 高"),
    "alternatives_start_cash": ("Cash at the start (USD)", "期初现金 (USD)"),
    "alternatives_cost_month": ("Cost a month (USD)", "每月成本 (USD)"),
    "alternatives_net_cost": ("Net present cost (USD)", "成本净现值 (USD)"),
    "alternatives_difference": ("More than the first (USD)", "较首项多 (USD)"),
    "alternatives_note": (
        "As of the export with version {version}, at prices of {date}: the named GPU, and the best layouts of the cheapest "
        "other GPUs. These lines do not follow changed inputs: export again.",
        "以版本 {version} 导出时为准，价格截至 {date}：所选 GPU，以及成本最低的其他 GPU 的最佳布局。修改输入后本表不变，请重新导出。",
    ),
    "alternatives_none": (
        "As of the export with version {version}, at prices of {date}: no other GPU with a price serves these users.",
        "以版本 {version} 导出时为准，价格截至 {date}：没有其他有价格的 GPU 可满足这些用户。",
    ),
    # Acceptance test and order
    "section_acceptance": ("Acceptance test and order", "验收测试与订购"),
    "answer_test_load": (
        "With {users} concurrent users, prompts of {prompt_tokens} and answers of {output_tokens} tokens,",
        "{users} 个用户同时使用、提示 {prompt_tokens} 个 token、回答 {output_tokens} 个 token 时，",
    ),
    "answer_test_speed": (
        "each user receives at least {promised_low} tokens/s and the first token within {promised_first} s,",
        "每用户至少获得 {promised_low} token/s，且首 token 不超过 {promised_first} 秒，",
    ),
    "answer_test_how": (
        "on average over {minutes} minutes after {warm_up} minutes of warm-up, with vLLM {version} at its default settings, "
        "weights {precision}, KV cache {kv_precision}, in the layout above. A user sends the next request when "
        "the last is answered. Tokens/s are counted from the first token.",
        "以预热 {warm_up} 分钟后 {minutes} 分钟的平均值计，引擎为默认设置的 vLLM {version}，权重 {precision}、KV 缓存 {kv_precision}，"
        "采用上述布局。每用户在上一请求答完后发送下一请求；token/s 自首 token 起计。",
    ),
    "promised_low": ("Tokens/s of the acceptance test", "验收测试的 token/s"),
    "promised_first": ("First token of the acceptance test (s)", "验收测试的首 token（秒）"),
    "no_test": (
        "No measurable test: the speed of this scenario is not computed. Agree on a speed with the supplier and measure it.",
        "无可测指标：本方案未计算速度。请与供应商约定速度并实测。",
    ),
    "issue_date": ("Issue date", "签发日期"),
    "valid": ("Price valid until", "价格有效期至"),
    "supplier": ("Supplier", "供应商"),
    "quote_number": ("Quote number", "报价单编号"),
    "budget": ("Budget line", "预算科目"),
    "lead_time": ("Lead time", "交货周期"),
    "delivery": ("Place of delivery", "交货地点"),
    "contract": ("Contract number", "合同编号"),
    # Risks
    "section_risks": ("Risks", "风险"),
    "risk_speed": (
        "Speed is computed: about eight of ten measurements lie in the range. Drafted tokens and shared prompts are not assumed.",
        "速度为计算值，并非实测：约八成实测值落在该范围内。未假定草稿 token 与共享提示。",
    ),
    "risk_settings": (
        "Speed is computed, and with drafted tokens or a shared prompt it was not compared with measurements: run the "
        "acceptance test.",
        "速度为计算值；含草稿 token 或共享提示的速度未与实测比较，请做验收测试。",
    ),
    "risk_drafts": (
        " It counts on {share} of drafted tokens being accepted.", "它按 {share} 的草稿 token 被接受计算。",
    ),
    "risk_rule": (
        "Memory follows the rule; the speed is that of vLLM with its defaults.",
        "显存按经验规则计算；速度按默认设置的 vLLM 计算。",
    ),
    "risk_memory": (
        "Memory and cost alone chose the layout: measure the speed before you buy.",
        "布局仅按显存与成本选定：购买前请实测速度。",
    ),
    "gap_no_gpu": ("Speed is not modelled: the scenario names no GPU.", "速度未建模：方案未指定 GPU 型号。"),
    "gap_no_bandwidth": (
        "Speed is not modelled: the memory bandwidth of the GPU is not known.", "速度未建模：GPU 的显存带宽未知。",
    ),
    "gap_no_figures": (
        "Speed is not modelled: only the size of the model is known, or it generates no text.",
        "速度未建模：仅知模型大小，或模型不生成文本。",
    ),
    "gap_no_rate": (
        "Speed is not modelled: the compute rate of the GPU is not known.", "速度未建模：GPU 的计算速率未知。",
    ),
    "gap_no_kernel": (
        "Speed is not modelled: no kernel of the engine runs the precision on this GPU.",
        "速度未建模：引擎没有可在这款 GPU 上运行该精度的核。",
    ),
    "risk_cache": (
        "vLLM has no KV cache in {format} for this model: its memory is computed, but it needs another engine.",
        "对该模型，vLLM 没有 {format} 格式的 KV 缓存：内存按此格式计算，但需使用其他引擎。",
    ),
    "risk_lead_time": (
        "Lead time: not known to this planner, and long for new GPUs. Ask for a date of delivery in writing.",
        "交货周期：本规划表无此数据，新款 GPU 周期较长。请要求书面交货日期。",
    ),
    "risk_law": (
        "Export controls: GPUs may need a licence for the country of use or the buyer. Ask the supplier to confirm, or who applies.",
        "出口管制：数据中心 GPU 可能因使用地或买方而需要许可证。请供应商确认无需许可，或由谁申请。",
    ),
    "risk_prices": (
        "Prices: {own} of {all} are your quotes, {stale} of {all} are stale on {date}; the others are indicative.",
        "价格：{all} 个中有 {own} 个是您的报价；截至 {date}，{all} 个中有 {stale} 个已过期；其余仅供参考。",
    ),
    "answer_tax": (
        "Tax that you do not get back is {start_tax} USD of the cash at the start and {month_tax} USD a month.",
        "不可抵扣的税：期初现金中 {start_tax} USD，每月 {month_tax} USD。",
    ),
    "source_as_above": ("As the line above.", "同上一行。"),
    "source_of_tdp": ("As the power of one GPU above.", "同上文单块 GPU 功率。"),
    # Index
    "start_cash": ("Cash at the start (USD)", "期初现金 (USD)"),
    "net_cost": ("Net present cost (USD)", "成本净现值 (USD)"),
    "low_speed": ("Tokens/s of a user, low end", "每用户 token/s，低端"),
    "all_start_cash": ("Cash at the start, of all scenarios", "全部方案期初现金"),
    "all_month": ("Cost a month, of all scenarios", "全部方案每月成本"),
    "all_net_cost": ("Net present cost of all scenarios", "全部方案成本净现值"),
    "without_costs": ("Scenarios without costs", "无成本、未计入的方案数"),
    "unit_usd": ("USD", "美元"),
    "unit_usd_month": ("USD/month", "USD/月"),
}  # fmt: skip

TEXTS = {f"export.{key}": texts for key, texts in _TEXTS.items()}
