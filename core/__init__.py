"""The memory maths of language-model serving: bytes in, bytes out, standard library only."""

__version__ = "0.2.0"
