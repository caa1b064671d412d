"""A folder that a prepare command fills: the set in it stays whole until a new one is complete.

A set's index records what it is made from. Repeating the command resumes or updates the set. A
different command is refused, or, with `overwrite`, works in its own folder beside the old set.
Replacing index.json, which names the files, switches from the old set to the new one at once.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

from zoomin_d2.data.packing import INDEX_NAME
from zoomin_d2.files import lock_folder, write_json

_UNFINISHED = "unfinished.json"


def lock_destination(destination: Path) -> None:
    """Create a set's folder, and keep other processes from preparing it until this one ends.

    Raises:
        OSError: another process prepares it, or the folder cannot be created.
    """
    if not lock_folder(destination):
        raise OSError(
            f"Another run is preparing {destination}. Wait for it, or use another name or --root."
        )


class PreparedSet:
    """A set that is being prepared, by this process alone.

    Args:
        destination: gets index.json; created if missing.
        made_from: plain values that determine the set's contents; the index will hold them.
        overwrite: replace a set that is made from something else.

    Attributes:
        folder: where files go; its subfolder "shots" exists.

    Raises:
        FileExistsError: not `overwrite`, and destination holds a set made from something else.
        OSError: another process prepares it, or the folder cannot be created.
    """

    def __init__(self, destination: Path, made_from: dict, overwrite: bool):
        lock_destination(destination)
        self._destination = destination
        self._made_from = made_from
        index = _read(destination / INDEX_NAME)
        has_begun = any((destination / "shots").glob("*"))
        begun = _read(destination / _UNFINISHED) if has_begun else None
        there = begun if index is None else index
        is_same = there is None or all(there.get(k) == v for k, v in made_from.items())
        if there is not None and not is_same and not overwrite:
            raise FileExistsError(
                f"{destination} holds {'a set' if index is not None else 'an unfinished set'} made "
                f"from {_describe(there, made_from)}, not from {_describe(made_from, made_from)}: "
                "use --overwrite to replace it, or another name or --root"
            )
        self._prefix = ""
        if index is not None:
            self._prefix = index.get("folder", "") if is_same else _digest(made_from)
        elif not is_same:
            self._remove_others(keep="")
            shutil.rmtree(destination / "shots", ignore_errors=True)
        self.folder = destination / self._prefix
        (self.folder / "shots").mkdir(parents=True, exist_ok=True)
        write_json(destination / _UNFINISHED, made_from)

    def finish(self, index: dict) -> dict:
        """Write the index, which makes this the current set, and remove files of the old one.

        Args:
            index: from `make_index`, with files relative to `folder`.

        Returns:
            the index as written.
        """
        index.update(self._made_from)
        if self._prefix:
            index["folder"] = self._prefix
            for shot in index["shots"]:
                for key in ("file", "hr_file"):
                    if key in shot and not Path(shot[key]).is_absolute():
                        shot[key] = f"{self._prefix}/{shot[key]}"
        write_json(self._destination / INDEX_NAME, index)
        (self._destination / _UNFINISHED).unlink(missing_ok=True)
        self._remove_others(keep=self._prefix)
        files = ("file", "hr_file")
        named = {self._destination / shot[k] for shot in index["shots"] for k in files if k in shot}
        for file in (self.folder / "shots").iterdir():
            if file not in named:
                file.unlink()
        return index

    def _remove_others(self, keep: str) -> None:
        """Folders of sets that the index does not name (yet, or any longer)."""
        for folder in self._destination.iterdir():
            is_ours = re.fullmatch(r"set_[0-9a-f]{8}", folder.name) or (
                keep and folder.name in ("shots", "videos")
            )
            if is_ours and folder.name != keep:
                shutil.rmtree(folder)


def _read(file: Path) -> dict | None:
    """What a set is made from; None if the file is missing, {} if it is damaged."""
    if not file.is_file():
        return None
    try:
        return dict(json.loads(file.read_text()))
    except (ValueError, TypeError):
        return {}


def _digest(made_from: dict) -> str:
    return f"set_{hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:8]}"


def _describe(there: dict, like: dict) -> str:
    return ", ".join(f"{key} {there.get(key, 'unknown')}" for key in like)
