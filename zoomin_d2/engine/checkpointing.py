"""Training state in, files that are always whole out; and the generator's moving average."""

import glob
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import detectron2.utils.comm as comm
import torch
from torch import nn

from zoomin_d2.files import write_atomically
from zoomin_d2.generators import GENERATORS, current_options
from zoomin_d2.model_zoo.generator_file import read_metadata
from zoomin_d2.modeling.safe_checkpointer import SafeCheckpointer
from zoomin_d2.weight_files import UnreadableWeightsError, read_weights

# The best checkpoint must not become what --resume continues from.
BEST_CHECKPOINT = "model_best"
# Version of the checkpoint's layout; files without one count as 0. Since version 2, "model" holds
# the averaged weights, because Detectron2's own checkpointer reads nothing else.
FORMAT_VERSION = 2
# Which configs go with a generator, for messages.
_CONFIGS = {"fast": "configs/fast/", "paper": "configs/*.yaml or configs/paper/"}


def nonfinite_names(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or inf. Waits for the device once, however many."""
    floats = {k: v for k, v in tensors.items() if torch.is_floating_point(torch.as_tensor(v))}
    if not floats:
        return []
    finite = torch.stack([torch.isfinite(torch.as_tensor(v)).all() for v in floats.values()])
    return [name for name, is_finite in zip(floats, finite.tolist()) if not is_finite]


class AtomicCheckpointer(SafeCheckpointer):
    """DetectionCheckpointer whose files appear whole or not at all.

    fvcore writes in place: a process killed meanwhile leaves a truncated file that
    ``last_checkpoint`` may name. Here a file is written to a temporary name, synced, and renamed. A
    run resumes from its newest file that is readable and holds finite weights.

    Args:
        extra: plain values stored in every checkpoint (provenance).
        prefer_ema: always load the averaged weights where a file has them (evaluation).

    Without ``prefer_ema``, a new run that starts from a file loads its averaged weights, and a
    resumed run loads the trained ones. Also reads .safetensors.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        extra: dict | None = None,
        prefer_ema: bool = False,
        **kwargs,
    ):
        super().__init__(model, save_dir, **kwargs)
        self.extra = extra or {}
        self.prefer_ema = prefer_ema
        self._take_ema = prefer_ema
        self._file_options: dict = {}  # MODEL.GENERATOR of the file that is being loaded

    def save(self, name: str, **kwargs) -> None:
        if not self.save_dir or not self.save_to_disk:
            return
        data = {**self.contents(), **kwargs}
        basename = f"{name}.pth"
        path = os.path.join(self.save_dir, basename)
        self.logger.info("Saving checkpoint to %s", path)
        write_atomically(path, lambda f: torch.save(data, f))
        if name != BEST_CHECKPOINT:
            self.tag_last_checkpoint(basename)

    def contents(self) -> dict:
        """The content of a checkpoint written now."""
        data = {"format": FORMAT_VERSION, "model": self.model.state_dict(), **self.extra}
        data |= {key: obj.state_dict() for key, obj in self.checkpointables.items()}
        if "ema_model" in data:  # the same tensors twice; torch stores them once
            data["trained_model"] = data["model"]
            data["model"] = {**data["model"], **data["ema_model"]}
        return data

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        path = os.path.join(self.save_dir, "last_checkpoint")
        write_atomically(path, lambda f: f.write(last_filename_basename.encode()))

    def warn_of_earlier_run(self) -> None:
        """Before a new run in save_dir: say so if it will replace an earlier one."""
        if self.has_checkpoint():
            self.logger.warning(
                "%s contains an earlier run. Starting a new one; its checkpoints will be "
                "overwritten (--resume continues it)",
                self.save_dir,
            )

    def forget_earlier_run(self) -> None:
        """From here on, --resume does not continue the run that was in save_dir before."""
        Path(self.save_dir, "last_checkpoint").unlink(missing_ok=True)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict:
        """Like fvcore's, but `newest_good_checkpoint` chooses the file to resume from.

        Only the process that trains in save_dir may call it: half-written files are removed there.

        Raises:
            UnreadableWeightsError: the run in save_dir has checkpoints, but none is usable.
            FileNotFoundError: a process cannot see the main process's checkpoint.
        """
        if self.save_dir and comm.is_main_process():
            for leftover in glob.glob(os.path.join(glob.escape(self.save_dir), "*.part")):
                os.remove(leftover)  # from a process that was killed while writing
        last = self.newest_good_checkpoint() if resume else ""
        return self.load(last) if last else self.load(path, checkpointables=[])

    def newest_good_checkpoint(self) -> str:
        """The newest whole checkpoint of the run in save_dir, "" if there is none.

        If `last_checkpoint` names a file that cannot be read, the run's next older one is used. A
        process killed after writing a file and before naming it also loses nothing. Only reads, so
        that a run can be evaluated while it trains.

        Raises:
            UnreadableWeightsError, FileNotFoundError: as `resume_or_load`.
        """
        # The main process decides, so that all continue from the same iteration or none does.
        found = self._search() if comm.is_main_process() else None
        path, problem = comm.all_gather(found)[0]
        if problem is not None:
            raise UnreadableWeightsError(*problem)
        blind = [i for i, sees in enumerate(comm.all_gather(os.path.isfile(path))) if not sees]
        if path and blind:
            raise FileNotFoundError(
                f"processes {blind} cannot see {path}: OUTPUT_DIR must be on a file system that "
                "all machines share"
            )
        return path

    def _search(self) -> tuple[str, tuple[str, str] | None]:
        """A file to resume from, or a problem (file, reason)."""
        problem = None
        for path, is_tagged in self._candidates():
            try:
                data = read_weights(path)
                self._check(path, data)
            except FileNotFoundError:
                problem = problem or (path, "last_checkpoint names it, but it does not exist")
            except UnreadableWeightsError as error:
                self.logger.warning("Cannot resume from %s", error)
                problem = problem or (path, error.reason)
            else:
                # A file that last_checkpoint does not name may be an earlier run's.
                if is_tagged or self._is_of_this_run(data):
                    return path, None
        if problem is not None:
            advice = "this run has no older checkpoint; start a new one without --resume"
            problem = (problem[0], f"{problem[1]}; {advice}")
        return "", problem

    def _candidates(self) -> list[tuple[str, bool]]:
        """(file, whether last_checkpoint names it), the best to resume from first."""
        tagged = self._tagged()
        numbers = {} if tagged else self._final()
        numbers |= {
            int(match[1]): match[0]
            for name in os.listdir(self.save_dir or ".")
            if (match := re.fullmatch(r"model_(\d+)\.pth", name)) and name != tagged
        }
        match = re.fullmatch(r"model_(\d+)\.pth", tagged)
        number = int(match[1]) if match else max(numbers, default=0)  # model_final comes last
        # A file later than the named one: the process was killed before naming it. (A named file
        # that is not the latest: somebody edited last_checkpoint to go back.)
        newer = [
            n
            for n, name in numbers.items()
            if not tagged
            or (n > number and self._written_at(name) > self._written_at("last_checkpoint"))
        ]
        names = sorted(newer, reverse=True) + sorted(numbers.keys() - newer, reverse=True)
        order = [numbers[n] for n in names]
        if tagged:
            order.insert(len(newer), tagged)
        return [(os.path.join(self.save_dir, name), name == tagged) for name in order]

    def _final(self) -> dict[int, str]:
        """{iteration: file} of model_final, if there is one that can be read."""
        name = "model_final.pth"
        try:
            return {int(read_weights(os.path.join(self.save_dir, name))["iteration"]): name}
        except (FileNotFoundError, UnreadableWeightsError, KeyError):
            return {}

    def _tagged(self) -> str:
        """The file that last_checkpoint names; "" where it names none."""
        try:
            with open(os.path.join(self.save_dir, "last_checkpoint"), "rb") as f:
                name = f.read().decode().strip()
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError:
            name = ""
        if not name or "\0" in name:
            self.logger.warning("%s/last_checkpoint is damaged: it names no file", self.save_dir)
            return ""
        return os.path.basename(name)

    def _written_at(self, name: str) -> int:
        return os.stat(os.path.join(self.save_dir, name)).st_mtime_ns

    def _is_of_this_run(self, data: dict) -> bool:
        run_id = self.extra.get("provenance", {}).get("run_id")
        return run_id is not None and data.get("provenance", {}).get("run_id") == run_id

    def _check(self, path: str, data: dict) -> None:
        version = data.get("format", 0)
        if version > FORMAT_VERSION:
            raise UnreadableWeightsError(
                path,
                f"was written by a newer zoomin_d2 (format {version}, this one reads up to "
                f"{FORMAT_VERSION}): update the package",
            )
        lacking = [key for key in self.checkpointables if key not in data]
        if lacking:
            raise UnreadableWeightsError(
                path,
                f"lacks {lacking}: it was written by an older version, by another program, or with "
                f"another SOLVER.EMA. To start a new run from its weights: MODEL.WEIGHTS {path}",
            )
        bad = nonfinite_names(data.get("trained_model", data["model"]))
        if bad:
            raise UnreadableWeightsError(
                path, f"{len(bad)} of its tensors hold NaN or inf, first '{bad[0]}'"
            )

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict:
        self._take_ema = self.prefer_ema or checkpointables == []
        return super().load(path, checkpointables)

    def _load_file(self, filename: str) -> dict:
        data = super()._load_file(filename)
        self._file_options = _generator_options(filename, data)
        trained = data.pop("trained_model", data["model"])
        if not self._take_ema:
            data["model"] = trained
        elif (averaged := data.pop("ema_model", None)) is not None:
            data["model"] = averaged
        return data

    def _log_incompatible_keys(self, incompatible) -> None:
        # A partly loaded generator would interpolate badly, and nothing would explain why.
        wrong = [*incompatible.missing_keys, *(name for name, *_ in incompatible.incorrect_shapes)]
        if wrong:
            raise ValueError(
                f"the checkpoint does not match MODEL.GENERATOR: {len(wrong)} tensors are missing "
                f"or have another shape, first '{wrong[0]}'. {self._advice(incompatible)}"
            )
        lacking = [x for x in incompatible.unexpected_keys if x.startswith("generator.")]
        if lacking:
            words = (
                f"MODEL.GENERATOR lacks {len(lacking)} tensors of the checkpoint, first "
                f"'{lacking[0]}'. {self._advice(incompatible)}"
            )
            if self.prefer_ema:  # to be evaluated as it is
                raise ValueError(words)
            self.logger.warning("%s. Without them, the training starts from a worse network", words)
        elif incompatible.unexpected_keys:
            self.logger.warning(
                "Ignoring unexpected keys in the checkpoint: %s", incompatible.unexpected_keys
            )

    def warn_of_other_options(self, options: Mapping) -> None:
        """Name the options of the loaded file's generator that a config changes.

        Args:
            options: MODEL.GENERATOR of the config.
        """
        node = options["NAME"].upper()
        theirs = current_options(self._file_options).get(node, {}) if self._file_options else {}
        ours = options.get(node, {})
        changed = [k for k in theirs if k in ours and theirs[k] != ours[k]]
        if changed and self._file_options.get("NAME") == options["NAME"]:
            words = (f"MODEL.GENERATOR.{node}.{k} {theirs[k]} (here: {ours[k]})" for k in changed)
            self.logger.warning("The weights were made with %s", ", ".join(words))

    def _advice(self, incompatible) -> str:
        """Which config a mismatched file belongs to."""
        name = self._file_options.get("NAME")
        if name is None:
            loaded = incompatible.unexpected_keys
            if loaded and not any(key.startswith("generator.") for key in loaded):
                return f"It holds no generator: its tensors are named '{loaded[0]}', ..."
            return "Use the config it was trained with (config.yaml beside it)"
        options = current_options(self._file_options).get(name.upper(), {})
        keys = " ".join(f"MODEL.GENERATOR.{name.upper()}.{k} {v}" for k, v in options.items())
        configs = f", as in {_CONFIGS[name]}" if name in _CONFIGS else ""
        return (
            f"It holds the generator '{name}': set MODEL.GENERATOR.NAME {name}{configs}"
            f"{f', trained with {keys}' if self._is_of_kind(name) else ''}"
        )

    def _is_of_kind(self, name: str) -> bool:
        kind = GENERATORS.get(name)
        return isinstance(kind, type) and isinstance(self.model.generator, kind)


def _generator_options(path: str, data: Mapping) -> dict:
    """MODEL.GENERATOR as recorded in a file of weights; {} if it records none."""
    if path.endswith(".safetensors"):
        return json.loads(read_metadata(path).get("generator", "{}"))
    return data.get("generator_options") or {}
