"""The article's figures by the workbook-level names of the cells that have to show them."""

ARTICLE_NAMES = {
    # Origin: the article's own printed figures.
    "article_weights_gb": 140,
    "article_kv_gb": 800,
    "article_overhead_gb": 94,
    "article_total_gb": 1034,
    "article_one_user_kv_gb": 80,
    "article_one_user_overhead_gb": 22,
    "article_one_user_total_gb": 242,
    "article_one_user_gpus": 4,
    "article_8k_kv_gb": 200,
    "article_8k_overhead_gb": 34,
    "article_8k_total_gb": 374,
}
