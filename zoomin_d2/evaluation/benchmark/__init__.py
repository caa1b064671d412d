"""The measurements of tools/benchmark.py: single frames against peers, and the video pipeline."""
