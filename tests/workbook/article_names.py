"""The article's figures: workbook-level name of a cell → the figure that it must show."""

ARTICLE_NAMES = {
    # Origin: the figures printed in the article.
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
