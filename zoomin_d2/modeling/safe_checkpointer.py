"""Detectron2's checkpointer, reading files through `zoomin_d2.weight_files`, which runs no code."""

from detectron2.checkpoint import DetectionCheckpointer

from zoomin_d2.weight_files import read_weights


class SafeCheckpointer(DetectionCheckpointer):
    """DetectionCheckpointer that reads its files with `read_weights`."""

    def load(self, path: str, *args, **kwargs) -> dict:
        try:
            return super().load(path, *args, **kwargs)
        finally:
            # Detectron2's stays set if reading fails, and then no file can be read anymore.
            self._parsed_url_during_load = None

    def _load_file(self, filename: str) -> dict:
        data = read_weights(filename)
        if "matching_heuristics=True" in getattr(self._parsed_url_during_load, "query", ""):
            data["matching_heuristics"] = True
        return data
