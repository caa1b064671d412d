"""Frames out: encoded, muxed with everything else of the source, verified."""
