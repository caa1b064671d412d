"""Training samples that are cut out of frames in the memory of the device."""
