"""Videos and images in: frames with exact times, as RGB."""
