"""Hold the texts of the workbook's functions and of their sheets: key → (English, Chinese)."""

from __future__ import annotations

# What Excel shows while a function's name is typed, at most 255 characters.
_PUBLIC = {
    "LLM_WEIGHTS": (
        "GB of a model's weights. model: a name from Models. [precision]: from Precisions; as shipped if omitted.",
        "模型权重的 GB 数。model：“模型”表中的名称；[precision]：“精度”表中的名称，省略时按发布格式。",
    ),
    "LLM_KV": (
        "GB of the KV cache of all users, each with the whole context in tokens. [users]: 1 if omitted; "
        "[kv_precision]: fp16 if omitted.",
        "全部用户 KV 缓存的 GB 数，每个用户占满上下文（token）。[users]：省略时为 1；[kv_precision]：省略时为 fp16。",
    ),
    "LLM_TOTAL": (
        "GB to serve a model: weights, KV cache and overhead. [overhead]: a fraction of both, 0.1 (10 %) if omitted.",
        "部署模型所需的 GB 数：权重、KV 缓存与额外开销。[overhead]：占前两者的比例，省略时为 0.1（10%）。",
    ),
    "LLM_GPUS": (
        "Fewest GPUs that serve the users, in whole replicas. gpu: a name from GPUs. [overhead]: if omitted, the memory "
        "that vLLM reserves.",
        "可服务这些用户的最少 GPU 数（整副本）。gpu：“GPU 型号”表中的名称；[overhead]：省略时按 vLLM 预留的显存。",
    ),
    "LLM_USERS": (
        "Most users at the same time on a number of GPUs, each with the whole context; 0 if the model does not fit.",
        "给定 GPU 数可同时服务的最多用户数，每个用户占满上下文；放不下模型时为 0。",
    ),
    "LLM_SPEED": (
        "Tokens per second of each user in the fastest layout that holds the users. [result]: per_user, low, high, total, "
        "first_token (s), users_at_once, limited_by or layout.",
        "可容纳用户的最快布局中每个用户的 token/秒。[result]：per_user、low、high、total、first_token（秒）、users_at_once、"
        "limited_by 或 layout。",
    ),
    "LLM_COST": (
        "USD per month of the layout with the fewest GPUs, bought or rented, whichever costs less over the horizon; with "
        "spares and all lines of Assumptions.",
        "GPU 最少的布局每月的美元成本，取规划期内购买与租用中较省者；含备用与“假设”中的各项。",
    ),
}  # fmt: skip
_PARTS = {
    "_LLM_KNOWN": ("1 where a program knows LAMBDA.", "程序支持 LAMBDA 时为 1。"),
    "_LLM_ROW": ("Part: the place of a name in a list.", "组成部分：名称在列表中的位置。"),
    "_LLM_NUMBER": ("Part: a number, or #NUM! outside its limits.", "组成部分：数值；超出范围时为 #NUM!。"),
    "_LLM_MODEL": ("Part: the row of a model on Models.", "组成部分：模型在“模型”表中的行。"),
    "_LLM_WEIGHTS": ("Part: bytes of the weights.", "组成部分：权重的字节数。"),
    "_LLM_USER": ("Part: bytes of the KV cache of a user.", "组成部分：每个用户 KV 缓存的字节数。"),
    "_LLM_LAYOUT_ROW": ("Part: the row of a layout on Layouts.", "组成部分：布局在“布局”表中的行。"),
    "_LLM_OVERHEAD": (
        'Part: the overhead, or "" for the memory that vLLM reserves.', "组成部分：额外开销；“”表示按 vLLM 预留的显存。",
    ),
    "_LLM_BLOCKS": ("Part: blocks of cache of a user under vLLM.", "组成部分：vLLM 中每个用户的缓存块数。"),
    "_LLM_STAGE_USERS": ("Part: users whose blocks fit in a pipeline stage.", "组成部分：一个流水线阶段可容纳的用户数。"),
    "_LLM_RULE_USERS": ("Part: users that fit with a fraction as overhead.", "组成部分：按比例计开销时可容纳的用户数。"),
    "_LLM_LAYOUT_USERS": ("Part: users of one replica in a layout.", "组成部分：一种布局中每个副本的用户数。"),
    "_LLM_LAYOUT_GPUS": ("Part: GPUs for all users in a layout.", "组成部分：一种布局为全部用户所需的 GPU 数。"),
    "_LLM_LAYOUT_PLACES": ("Part: users of all replicas on a number of GPUs.", "组成部分：给定 GPU 数上全部副本的用户数。"),
    "_LLM_WEIGHT_FIGURES": ("Part: what a GPU reads and computes with weights.", "组成部分：GPU 读取权重及相应的计算。"),
    "_LLM_ATTENTION_FIGURES": ("Part: what a GPU reads and computes for attention.", "组成部分：GPU 在注意力上的读取与计算。"),
    "_LLM_PACE": ("Part: times of a step and a prompt.", "组成部分：单步与提示所需的时间。"),
    "_LLM_LOAD": ("Part: a result of a replica under its load.", "组成部分：副本在负载下的一项结果。"),
    "_LLM_LAYOUT_SPEED": ("Part: a result of a layout on a number of GPUs.", "组成部分：给定 GPU 数上一种布局的一项结果。"),
    "_LLM_LAYOUT_SIZE": ("Part: a number by which layouts are ordered by size.", "组成部分：按规模排列布局的数值。"),
    "_LLM_ORDER": ("Part: GPUs and nodes to buy or to rent.", "组成部分：要购买或租用的 GPU 与节点数。"),
    "_LLM_OWNING": ("Part: net present cost and cost per month of owning.", "组成部分：自购的净现成本与每月成本。"),
    "_LLM_RENTING": ("Part: net present cost and cost per month of renting.", "组成部分：租用的净现成本与每月成本。"),
}  # fmt: skip

TEXTS: dict[str, tuple[str, str]] = {
    **{f"functions.{name}": text for name, text in (_PUBLIC | _PARTS).items()},
    "sheet.functions": ("Functions", "函数"),
    "about.functions": (
        "Functions of this workbook for your own cells, without an add-in: Microsoft 365 and Excel 2024.",
        "本工作簿自带的函数，可用于您自己的单元格，无需加载项：Microsoft 365 与 Excel 2024。",
    ),
    "functions.title": ("Functions without an add-in", "无需加载项的函数"),
    "functions.subtitle": (
        "Write them into any cell of this workbook, on a new sheet of your own for example. Nothing else depends on them.",
        "可写入本工作簿的任意单元格，例如您新建的工作表。本工作簿的其他部分不依赖这些函数。",
    ),
    "functions.works": ("This program knows LAMBDA: the functions work here.", "当前程序支持 LAMBDA，可使用这些函数。"),
    "functions.missing": (
        "LAMBDA is missing here: the functions need Microsoft 365 or Excel 2024. All other sheets work.",
        "当前程序缺少 LAMBDA：这些函数需要 Microsoft 365 或 Excel 2024。其他工作表不受影响。",
    ),
    "functions.ready": ("works", "可用"),
    "functions.needs": ("needs Microsoft 365", "需要 Microsoft 365"),
    "functions.function": ("Function", "函数"),
    "functions.gives": ("What it gives", "作用"),
    "functions.example": ("Write for example", "写法示例"),
    "functions.result": ("Result in a new planner", "新规划表中的结果"),
    "functions.unit": ("Unit", "单位"),
    "functions.here": ("In this program", "当前程序"),
    "functions.value": ("Value", "值"),
    "functions.note_names": (
        "What is in brackets may be left out. Names are those on Models (your own at its top too), GPUs and Precisions.",
        "方括号内的参数可省略。名称见“模型”（含顶部的自定模型）、“GPU 型号”与“精度”表。",
    ),
    "functions.note_errors": (
        "Errors: #N/A for an unknown name or no price, #NUM! for a number out of range or if nothing fits, #VALUE! for another kind.",
        "错误值：#N/A 表示没有该名称或价格；#NUM! 表示数值超出范围或放不下；#VALUE! 表示参数类型不符。",
    ),
    "functions.note_columns": (
        "Each takes single values. For a column of names: =MAP(A2:A9,LAMBDA(m,LLM_TOTAL(m,32768,10)))",
        "参数均为单个值。对一列名称：=MAP(A2:A9,LAMBDA(m,LLM_TOTAL(m,32768,10)))",
    ),
    "functions.note_parts": (
        "Formulas > Name Manager shows how each is computed. Names that begin with _LLM_ are parts of the others.",
        "“公式 > 名称管理器”可查看算法。以 _LLM_ 开头的名称是其他函数的组成部分。",
    ),
    "functions.note_agree": (
        "They are printed from the same formulas as the sheets, and give what the add-in's functions (VRAM_…) give.",
        "公式与各表同源，结果与加载项的函数（VRAM_…）一致。",
    ),
    "functions.book_title": ("VRAM functions", "显存规划函数"),
    "functions.book_note": (
        "For a workbook of your own, bring your sheets into this file: right-click their tabs, Move or Copy.",
        "若要用于自己的工作簿，请将您的工作表移入本文件：右键单击工作表标签，选择“移动或复制”。",
    ),
    "functions.assumptions": (
        "What LLM_COST assumes, and the constants of LLM_SPEED. Change the blue cells; the planner's Plan and "
        "Assumptions sheets explain each.",
        "LLM_COST 的假设与 LLM_SPEED 的常数。可修改蓝色单元格；各项说明见规划表的“规划”与“假设”。",
    ),
}  # fmt: skip
