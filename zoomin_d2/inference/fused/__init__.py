"""Generators as fused Triton kernels, equal to the plain ones up to rounding."""
