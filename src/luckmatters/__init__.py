"""Luck Matters, reproduced: the training dynamics of over-parameterized ReLU students (arXiv 1905.13405)."""

__version__ = "0.1.0"
