"""Triton kernels; only `inference/fused` and `layers/correlation.py` use them."""
