"""Neural machine translation from scratch, with attention that can be seen, measured and trusted."""

__version__ = "0.1.0"
