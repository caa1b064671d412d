"""The moments that the output shows, and their frames, in order."""
