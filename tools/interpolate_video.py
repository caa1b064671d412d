#!/usr/bin/env python3
"""Interpolate a video: `zoomin-interpolate` from a checkout. docs/video.md says what it can do."""

from zoomin_d2.cli.interpolate_video import entry_point

if __name__ == "__main__":
    entry_point()
