"""Kernels in Triton and CUDA C++; only `inference/fused` and `layers/correlation.py` use them."""
