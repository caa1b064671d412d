"""Training samples that are cut from frames in the device's memory."""
