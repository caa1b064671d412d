"""One input in, one finished output out."""
