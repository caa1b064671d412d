"""Which moments the output shows, and the frames for them, in order."""
