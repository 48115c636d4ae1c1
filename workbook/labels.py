"""Every text of the workbook, in English and Chinese, from one table."""

from __future__ import annotations

LANGUAGES = ("en", "zh")

# key: (English, Chinese)
_TEXTS: dict[str, tuple[str, str]] = {
    # Sheets
    "sheet.about": ("About", "关于"),
    "sheet.article": ("Article", "文章复算"),
    "sheet.scenarios": ("Scenarios", "方案"),
    "sheet.sensitivity": ("Sensitivity", "敏感性分析"),
    "sheet.changes": ("Changes", "变更记录"),
    "sheet.models": ("Models", "模型"),
    "sheet.precisions": ("Precisions", "精度"),
    "sheet.checks": ("Checks", "检查"),
    # Units
    "unit.gb": ("GB", "GB"),
    "unit.billion": ("billion", "十亿"),
    "unit.layers": ("layers", "层"),
    "unit.values": ("values", "个数值"),
    "unit.bytes": ("bytes", "字节"),
    "unit.tokens": ("tokens", "token"),
    "unit.users": ("users", "用户"),
    "unit.gpus": ("GPUs", "块 GPU"),
    "unit.mb": ("MB", "MB"),
    "unit.of_weights_kv": ("of weights + KV", "占权重 + KV"),
    "unit.none": ("–", "–"),
    "check.format": ('[=1]"1 OK";[=0]"0 WRONG";General', '[=1]"1 正确";[=0]"0 错误";General'),
    # About
    "about.title": ("VRAM planner", "显存规划表"),
    "about.purpose": (
        "How much GPU memory does it take to serve a language model to your users, and how many GPUs is that?",
        "为用户部署一个大语言模型需要多少显存？相当于多少块 GPU？",
    ),
    "about.status": ("Workbook checks", "工作簿检查"),
    "about.all_pass": ("All checks pass", "全部检查通过"),
    "about.some_fail": ("A check fails: see the Checks sheet", "有检查未通过：请看“检查”工作表"),
    "about.version": ("Version", "版本"),
    "about.data_date": ("Catalog as of", "目录数据截至"),
    "about.contents": ("What is where", "内容一览"),
    "about.article": (
        "The article's own example, step by step, beside the exact figures and the model as it really is.",
        "逐步复算文章中的例子，并与精确值和真实模型并列对照。",
    ),
    "about.scenarios": (
        "Your planner: one scenario a row. Choose a model, a context, users and precisions; read GB and GPUs.",
        "您的规划表：每行一个方案。选择模型、上下文、用户数和精度，即可读出 GB 与 GPU 数量。",
    ),
    "about.sensitivity": (
        "One model over context × users: total memory, GPUs, and where one more GPU is needed.",
        "单个模型在上下文 × 用户数下的总显存与 GPU 数量，并标出需增加 GPU 的转折点。",
    ),
    "about.changes": ("What changed in each version.", "各版本的变更内容。"),
    "about.models": (
        "The models that can be chosen, with what their memory follows from, and the source of each.",
        "可选模型、决定其显存的各项数据，以及数据来源。",
    ),
    "about.precisions": ("The number formats that can be chosen.", "可选的数值精度。"),
    "about.checks": ("Every check of this workbook, and the one result of all.", "本工作簿的全部检查与总结果。"),
    "about.how": ("How to use it", "使用方法"),
    "about.how_1": (
        "On Scenarios, change the blue cells of a row, or type below the last row: the table grows by itself.",
        "在“方案”表中修改蓝色单元格；或在最后一行下方直接输入，表格会自动扩展。",
    ),
    "about.how_2": (
        "Read the total and the GPUs at the right. If a row shows #N/A, the column “Input check” says what to mend.",
        "在右侧读取合计与 GPU 数量。若某行显示 #N/A，“输入检查”列会说明应修正什么。",
    ),
    "about.how_3": (
        "Nothing needs an add-in or a macro. With the VRAM add-in loaded, the last column compares it with these formulas.",
        "无需任何加载项或宏。若已加载 VRAM 加载项，最后一列会将其结果与本表公式对照。",
    ),
    "about.colours": ("What the cells mean", "单元格图例"),
    "about.colour_input": ("Input: blue on yellow, yours to change", "输入：黄底蓝字，可修改"),
    "about.colour_formula": ("Formula: black", "公式：黑字"),
    "about.colour_link": ("From another sheet: green", "引自其他工作表：绿字"),
    "about.colour_source": ("Figure as a source prints it: italic", "来源所印数字：斜体"),
    "about.colour_total": ("Result: bold on grey", "结果：灰底粗体"),
    "about.caveats": ("What this workbook does not say", "本工作簿不包含的内容"),
    "about.caveat_memory": (
        "Memory only: that a model fits is no promise of its speed.",
        "仅计算显存：能放下并不代表速度有保证。",
    ),
    "about.caveat_reserved": (
        "Every user's whole context is reserved, as the article does. Engines with paged caches often need less.",
        "按文章的做法，为每个用户预留完整上下文；采用分页缓存的推理引擎通常用得更少。",
    ),
    "about.caveat_gpus": (
        "GPUs are total ÷ memory of one, rounded up. What can be deployed depends on how the model splits.",
        "GPU 数量为合计 ÷ 单卡显存并向上取整；实际可部署的数量取决于模型如何切分。",
    ),
    "about.caveat_overhead": (
        "Overhead is the article's rule of 10 %, not what an engine measures.",
        "额外开销采用文章的 10 % 经验值，并非推理引擎的实测值。",
    ),
    "about.units": ("GB is 10⁹ bytes; GiB is 2³⁰ bytes.", "GB 为 10⁹ 字节；GiB 为 2³⁰ 字节。"),
    # Article
    "article.title": ("The article's example, recalculated", "文章示例复算"),
    "article.subtitle": (
        "“How to work out the GPU memory that serving Llama 70B needs”: as printed, exact, and as the model really is",
        "《如何计算部署 Llama 70B 所需的显存》：按原文、精确值、真实模型三者对照",
    ),
    "article.inputs": ("Inputs", "输入"),
    "article.what": ("Step", "步骤"),
    "article.how": ("How", "算法"),
    "article.unit": ("Unit", "单位"),
    "article.printed": ("In the article", "文章数字"),
    "article.as_printed": ("As printed (live)", "按原文（公式）"),
    "article.agrees": ("Agrees?", "一致？"),
    "article.exact": ("Exact", "精确值"),
    "article.real": ("The real model", "真实模型"),
    "article.why": ("Why they differ", "差异原因"),
    "article.input_value": ("Input", "输入值"),
    "article.note": ("Note", "说明"),
    "article.as_in_article": ("As printed?", "与原文相同？"),
    "article.parameters": ("Parameters", "参数量"),
    "article.layers": ("Layers", "层数"),
    "article.hidden": ("Hidden dimension", "隐藏维度"),
    "article.bytes_per_parameter": ("Bytes per parameter", "每个参数的字节数"),
    "article.bytes_per_value": ("Bytes per cached value", "每个缓存数值的字节数"),
    "article.context": ("Context", "上下文长度"),
    "article.users": ("Users", "用户数"),
    "article.overhead_rate": ("Overhead", "额外开销比例"),
    "article.one_user": ("Users, “one user”", "“单用户”的用户数"),
    "article.short_context": ("Context, “8K”", "“8K”的上下文长度"),
    "article.gpu_memory": ("Memory of one GPU", "单卡显存"),
    "article.real_model": ("Model in the last column", "右侧真实模型"),
    "article.note_parameters": (
        "The real model's count is the sum of its tensors, not the number in its name.",
        "真实模型的参数量由各张量累加得到，而非取名称中的数字。",
    ),
    "article.note_layers": ("From the model's config.json.", "取自模型的 config.json。"),
    "article.note_hidden": (
        "The article prints 8196; the real model has 8192. The formulas keep what is printed.",
        "文章印作 8196，真实模型为 8192；公式保留原文数字。",
    ),
    "article.note_bytes": ("16 bits: FP16 or BF16.", "16 位：FP16 或 BF16。"),
    "article.note_context": ("The article writes 32K out as 32 000.", "文章将 32K 写作 32 000。"),
    "article.note_overhead": ("The article's rule of thumb.", "文章的经验值。"),
    "article.note_short_context": ("The article writes 8K out as 8 000.", "文章将 8K 写作 8 000。"),
    "article.note_gpu_memory": (
        "The label of an A100 80 GB. The driver reports a little more, an engine can use a little less.",
        "A100 80 GB 的标称值；驱动报告的略多，引擎可用的略少。",
    ),
    "article.note_real_model": ("Choose any model of the catalog.", "可选择目录中的任意模型。"),
    "article.block_base": ("Base: 10 users, 32K context", "基本：10 用户，32K 上下文"),
    "article.block_one_user": ("One user, 32K context", "单用户，32K 上下文"),
    "article.block_8k": ("10 users, 8K context", "10 用户，8K 上下文"),
    "article.weights": ("Weights", "权重"),
    "article.kv_bytes_per_token": ("KV cache of one token, in bytes", "每个 token 的 KV 缓存（字节）"),
    "article.kv_per_token": ("KV cache of one token, in “MB”", "每个 token 的 KV 缓存（“MB”）"),
    "article.kv": ("KV cache", "KV 缓存"),
    "article.overhead": ("Overhead", "额外开销"),
    "article.total": ("Total", "合计"),
    "article.gpus": ("GPUs by division", "GPU 数量（相除取整）"),
    "article.how_weights": ("parameters × bytes per parameter", "参数量 × 每参数字节数"),
    "article.how_kv_bytes_per_token": (
        "layers × hidden × bytes × 2 (key + value)",
        "层数 × 隐藏维度 × 字节数 × 2（键 + 值）",
    ),
    "article.how_kv_per_token": (
        "article: bytes ÷ 2²⁰, one decimal; others: ÷ 10⁶",
        "文章：字节 ÷ 2²⁰ 保留一位小数；其余：÷ 10⁶",
    ),
    "article.how_kv": ("KV per token × context × users", "每 token KV × 上下文 × 用户数"),
    "article.how_overhead": ("(weights + KV) × overhead", "（权重 + KV）× 额外开销比例"),
    "article.how_total": ("weights + KV + overhead", "权重 + KV + 额外开销"),
    "article.how_gpus": ("total ÷ memory of one GPU, rounded up", "合计 ÷ 单卡显存，向上取整"),
    "article.why_weights": (
        "The article rounds to 70 billion; the real model has 70.55 billion parameters, embeddings included.",
        "文章取整为 700 亿；真实模型含嵌入层共 705.5 亿参数。",
    ),
    "article.why_kv_bytes_per_token": (
        "The formula gives every layer keys and values as wide as the model. The real model shares them among its query "
        "heads (grouped-query attention): 8 KV heads of 128 each, 2 × 1024 values a layer instead of 2 × 8196: an eighth.",
        "公式假定每层的键和值与模型同宽。真实模型采用分组查询注意力（GQA）共享键和值：8 个 KV 头，每头 128，"
        "每层 2 × 1024 个数值而非 2 × 8196，仅为八分之一。",
    ),
    "article.why_kv_per_token": (
        "2 622 720 bytes are 2.62 MB or 2.50 MiB. The article rounds in MiB, goes on in MB, and so loses 4.7 %.",
        "2 622 720 字节等于 2.62 MB 或 2.50 MiB。文章按 MiB 舍入却按 MB 续算，因此少算 4.7 %。",
    ),
    "article.why_kv": (
        "The 4.7 % lost in rounding are 39 GB here. With the real model's heads the cache is an eighth.",
        "舍入损失的 4.7 % 在此即 39 GB；按真实模型的 KV 头数，缓存仅为八分之一。",
    ),
    "article.why_overhead": (
        "The same 10 % of a different sum. An engine's real overhead is not a fraction: it follows batch and vocabulary.",
        "同为 10 %，但基数不同。引擎的真实开销并非固定比例，而取决于批量与词表大小。",
    ),
    "article.why_total": (
        "The article rounds to “about 1 TB”. Of that, the real model needs about a quarter.",
        "文章约为“1 TB”；真实模型只需约四分之一。",
    ),
    "article.why_gpus": (
        "Division alone: engines split a model over 1, 2, 4 or 8 GPUs and keep memory in reserve.",
        "仅为相除结果：引擎通常将模型切分到 1、2、4 或 8 块 GPU，并保留部分显存。",
    ),
    "article.why_total_one_user": (
        "The article says “about 250 GB”. With one user the weights decide, so the real model comes nearer.",
        "文章称“约 250 GB”。单用户时权重占主导，因此与真实模型更接近。",
    ),
    "article.why_gpus_one_user": (
        "The article says 3 to 4 A100 of 80 GB: 242 ÷ 80 = 3.03, so 4. The real model needs 3 by division.",
        "文章称需 3–4 块 80 GB A100：242 ÷ 80 = 3.03，即 4 块；真实模型按相除为 3 块。",
    ),
    "article.why_total_8k": (
        "The article says “about 400 GB”. A quarter of the context is a quarter of the cache; the weights stay.",
        "文章称“约 400 GB”。上下文减为四分之一，缓存也减为四分之一，权重不变。",
    ),
    "article.why_same": ("As above.", "同上。"),
    # Scenarios
    "scenarios.title": ("Scenarios", "方案"),
    "scenarios.subtitle": (
        "One scenario a row. Change the blue cells; type below the last row to add one.",
        "每行一个方案。修改蓝色单元格；在最后一行下方输入即可新增。",
    ),
    "scenarios.least": ("at least", "最小值"),
    "scenarios.most": ("at most", "最大值"),
    "scenarios.scenario": ("Scenario", "方案名称"),
    "scenarios.model": ("Model", "模型"),
    "scenarios.context": ("Context (tokens)", "上下文 (token)"),
    "scenarios.users": ("Users", "用户数"),
    "scenarios.precision": ("Weights precision", "权重精度"),
    "scenarios.kv_precision": ("KV precision", "KV 精度"),
    "scenarios.overhead_rate": ("Overhead (%)", "额外开销 (%)"),
    "scenarios.gpu_memory": ("GPU memory (GB)", "单卡显存 (GB)"),
    "scenarios.input_check": ("Input check", "输入检查"),
    "scenarios.weights": ("Weights (GB)", "权重 (GB)"),
    "scenarios.kv": ("KV cache (GB)", "KV 缓存 (GB)"),
    "scenarios.overhead": ("Overhead (GB)", "额外开销 (GB)"),
    "scenarios.total": ("Total (GB)", "合计 (GB)"),
    "scenarios.gpus": ("GPUs", "GPU 数量"),
    "scenarios.addin": ("Add-in agrees?", "与加载项一致？"),
    "scenarios.row_article": ("Article: 10 users, 32K", "文章：10 用户，32K"),
    "scenarios.row_article_one_user": ("Article: one user, 32K", "文章：单用户，32K"),
    "scenarios.row_article_8k": ("Article: 10 users, 8K", "文章：10 用户，8K"),
    "scenarios.row_real": ("Real model: 10 users, 32K", "真实模型：10 用户，32K"),
    "scenarios.row_real_one_user": ("Real model: one user, 32K", "真实模型：单用户，32K"),
    "scenarios.row_real_8k": ("Real model: 10 users, 8K", "真实模型：10 用户，8K"),
    "scenarios.row_real_fp8": ("Real model in FP8, 50 users", "真实模型 FP8，50 用户"),
    "scenarios.row_small": ("Small model, 100 users", "小模型，100 用户"),
    "scenarios.row_qwen": ("Qwen2.5 72B, 20 users", "Qwen2.5 72B，20 用户"),
    "scenarios.row_large": ("Largest Llama, FP8", "最大的 Llama，FP8"),
    "scenarios.note": (
        "The article's rows are exact here: 1 077.2 GB instead of 1 034, because the Article sheet rounds as the article does.",
        "此处文章各行为精确值：1 077.2 GB 而非 1 034，因“文章复算”表按原文舍入。",
    ),
    "scenarios.problem_model": ("Model: choose one from the list", "模型：请从列表中选择"),
    "scenarios.problem_context": ("Context: whole tokens, from 1", "上下文：请填不小于 1 的整数"),
    "scenarios.problem_users": ("Users: a whole number, from 1", "用户数：请填不小于 1 的整数"),
    "scenarios.problem_precision": ("Weights precision: choose from the list", "权重精度：请从列表中选择"),
    "scenarios.problem_kv_precision": ("KV precision: choose from the list", "KV 精度：请从列表中选择"),
    "scenarios.problem_overhead_rate": ("Overhead: 0 % to 100 %", "额外开销：请填 0 % 至 100 %"),
    "scenarios.problem_gpu_memory": ("GPU memory: GB of one GPU", "单卡显存：请填单块 GPU 的 GB 数"),
    "scenarios.addin_missing": ("add-in not loaded", "未加载加载项"),
    "scenarios.addin_agrees": ("agrees", "一致"),
    "scenarios.addin_differs": ("DIFFERS", "不一致"),
    "scenarios.addin_no_input": ("see input check", "见输入检查"),
    "prompt.pick": ("Choose from the list.", "请从列表中选择。"),
    "prompt.scenario": ("A name of up to 60 characters, to tell the scenarios apart.", "方案名称，不超过 60 个字符，便于区分各方案。"),
    "prompt.context": ("Tokens that each user's conversation may hold, for example 32768.", "每个用户会话可容纳的 token 数，如 32768。"),
    "prompt.users": ("Users served at the same time.", "同时服务的用户数。"),
    "prompt.overhead_rate": ("Share of weights and KV cache; the article takes 10 %.", "占权重与 KV 缓存之和的比例；文章取 10 %。"),
    "prompt.gpu_memory": ("Memory of one GPU in GB, for example 80.", "单块 GPU 的显存 (GB)，如 80。"),
    "prompt.number": ("A number above 0.", "大于 0 的数字。"),
    "prompt.wrong_title": ("This cannot be planned with", "无法据此规划"),
    # Sensitivity
    "sensitivity.title": ("Sensitivity", "敏感性分析"),
    "sensitivity.subtitle": (
        "Change the blue cells: the model, and the contexts and users along the edges of the first grid.",
        "修改蓝色单元格：模型，以及第一个网格边缘的上下文与用户数。",
    ),
    "sensitivity.total": ("Total memory (GB)", "总显存 (GB)"),
    "sensitivity.gpus": ("GPUs by division; ▲ where more are needed than in the row above", "GPU 数量（相除取整）；▲ 表示比上一行需要更多"),
    "sensitivity.corner": ("Users ↓   Context →", "用户数 ↓   上下文 →"),
    "sensitivity.chart": ("Total memory by users, one line for each context", "总显存随用户数的变化（每条线为一种上下文）"),
    "sensitivity.chart_alt": (
        "Line chart of total GPU memory in GB against the number of users, one line for each context length of the grid above.",
        "折线图：总显存 (GB) 随用户数的变化，每条线对应上方网格中的一种上下文长度。",
    ),
    # Models
    "models.title": ("Models", "模型"),
    "models.subtitle": (
        "What a model's memory follows from. KV cache of one sequence = values per token × context + windowed values × "
        "min(context, window), in the cache's precision, + fixed bytes.",
        "决定模型显存的各项数据。单个序列的 KV 缓存 =（每 token 数值 × 上下文 + 窗口内数值 × min（上下文，窗口））"
        "× 缓存精度 + 固定字节。",
    ),
    "models.model": ("Model", "模型"),
    "models.model_title": ("Full name", "全称"),
    "models.developer": ("Developer", "开发者"),
    "models.parameters": ("Parameters", "参数量"),
    "models.published": ("Published count", "公布的参数量"),
    "models.layers": ("Layers", "层数"),
    "models.hidden": ("Hidden size", "隐藏维度"),
    "models.kv_heads": ("KV heads", "KV 头数"),
    "models.head_dim": ("Head size", "头维度"),
    "models.values_per_token": ("KV values per token", "每 token KV 数值"),
    "models.window": ("Window (tokens)", "窗口 (token)"),
    "models.windowed_values": ("Windowed KV values per token", "窗口内每 token KV 数值"),
    "models.fixed_bytes": ("Fixed bytes per sequence", "每序列固定字节"),
    "models.max_context": ("Longest context", "最大上下文"),
    "models.licence": ("Licence", "许可证"),
    "models.source": ("Source", "来源"),
    "models.as_of": ("As of", "截至"),
    # Precisions
    "precisions.title": ("Precisions", "精度"),
    "precisions.subtitle": ("How many bytes one weight or one cached value takes.", "每个权重或缓存数值占用的字节数。"),
    "precisions.name": ("Precision", "精度"),
    "precisions.meaning": ("Meaning", "含义"),
    "precisions.bytes": ("Bytes per value", "每数值字节数"),
    "precisions.source": ("Source", "来源"),
    "precisions.as_of": ("As of", "截至"),
    # Checks
    "checks.title": ("Checks", "检查"),
    "checks.subtitle": ("1 is right, 0 is wrong. The workbook can be relied on when all are 1.", "1 为正确，0 为错误。全部为 1 时本工作簿可信。"),
    "checks.check": ("Check", "检查项"),
    "checks.result": ("Result", "结果"),
    "checks.meaning": ("If it is wrong", "若为错误"),
    "checks.master": ("All checks together", "总检查"),
    "checks.addin": ("Is the VRAM add-in loaded? (1 yes, 0 no; both are fine)", "是否已加载 VRAM 加载项？（1 是，0 否，均可）"),
    "checks.figure": ("{block}: {step} as the article prints it", "{block}：{step}与文章一致"),
    "checks.figure_wrong": (
        "A formula of the Article sheet was overwritten. (With changed inputs this check does not compare.)",
        "“文章复算”表中的公式被改写。（输入改变时此项不比较。）",
    ),
    "checks.inputs": ("Every scenario's inputs can be planned with", "所有方案的输入均可用于规划"),
    "checks.inputs_wrong": ("See the column “Input check” of Scenarios.", "请看“方案”表的“输入检查”列。"),
    "checks.sum": ("Weights, KV cache and overhead add up to the totals", "权重、KV 缓存与额外开销之和等于合计"),
    "checks.sum_wrong": ("A formula of Scenarios was overwritten.", "“方案”表中的公式被改写。"),
    "checks.enough": ("The GPUs of every scenario hold its total", "每个方案的 GPU 足以容纳其合计"),
    "checks.enough_wrong": ("A formula of Scenarios was overwritten, or an input is wrong.", "“方案”表中的公式被改写，或输入有误。"),
    "checks.unique": ("No model is listed twice", "模型无重复"),
    "checks.unique_wrong": ("Two rows of Models have the same name: only the first would be found.", "“模型”表中有同名行：只会用到第一行。"),
    "checks.complete": ("Every model has its parameters and its KV values", "每个模型都有参数量与 KV 数值"),
    "checks.complete_wrong": ("A cell of Models is empty or holds text.", "“模型”表中有空单元格或文本。"),
    "checks.published": ("Counted parameters equal the published counts", "累加的参数量与公布值一致"),
    "checks.published_wrong": ("A row of Models was changed.", "“模型”表中有行被改动。"),
    "checks.addin_agrees": ("The add-in, where loaded, agrees with the formulas", "加载项（如已加载）与公式一致"),
    "checks.addin_agrees_wrong": ("Add-in and workbook are of different versions, or a formula was overwritten.", "加载项与工作簿版本不同，或公式被改写。"),
    # Terminal
    "report.as_printed": ("as printed", "按原文"),
    "report.exact": ("exact", "精确值"),
    "report.real": ("the real model", "真实模型"),
    # Changes
    "changes.title": ("Changes", "变更记录"),
    "changes.subtitle": ("What changed in the planner, newest first.", "规划表的变更内容，最新在前。"),
    "changes.version": ("Version", "版本"),
    "changes.date": ("Date", "日期"),
    "changes.what": ("What changed", "变更内容"),
    "changes.0_1_0": (
        "First version: the article recalculated, scenarios, sensitivity, models, precisions, checks.",
        "首个版本：文章复算、方案、敏感性分析、模型、精度、检查。",
    ),
    # Page furniture
    "page.of": ("Page &P of &N", "第 &P 页，共 &N 页"),
}  # fmt: skip


class Labels:
    """The texts in one language: `labels("checks.title")`."""

    def __init__(self, lang: str) -> None:
        if lang not in LANGUAGES:
            raise ValueError(f"no texts in {lang!r}; there are {', '.join(LANGUAGES)}")
        self.lang = lang
        self._column = LANGUAGES.index(lang)

    def __call__(self, key: str, **values: object) -> str:
        text = _TEXTS[key][self._column]
        return text.format(**values) if values else text


def keys() -> tuple[str, ...]:
    """Every key, for the test that none is without a translation or a use."""
    return tuple(_TEXTS)
