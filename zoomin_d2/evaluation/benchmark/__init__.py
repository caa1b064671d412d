"""What tools/benchmark.py measures: single frames against peers, and the video pipeline."""
