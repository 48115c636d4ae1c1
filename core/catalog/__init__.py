"""The models, GPUs, precisions and prices that can be looked up by name, from the CSV files in `data`."""

from core.catalog.data_files import DATA_FOLDER
from core.catalog.names import (
    MODELS_VARIABLE,
    SHIPPED,
    CatalogModel,
    CatalogPrecision,
    NamedModel,
    gpu,
    gpu_names,
    gpus,
    model,
    model_names,
    models,
    named_model,
    own_model_names,
    precision,
    precision_named,
    precisions,
    weights_precision,
)

__all__ = [
    "DATA_FOLDER",
    "MODELS_VARIABLE",
    "SHIPPED",
    "CatalogModel",
    "CatalogPrecision",
    "NamedModel",
    "gpu",
    "gpu_names",
    "gpus",
    "model",
    "model_names",
    "models",
    "named_model",
    "own_model_names",
    "precision",
    "precision_named",
    "precisions",
    "weights_precision",
]
