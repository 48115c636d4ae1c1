"""One module per group of model families: fields of a config.json in, a `ModelSpec` out."""
