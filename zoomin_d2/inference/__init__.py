"""Two frames in, the frames between them out, as fast as the machine allows; no Detectron2."""
