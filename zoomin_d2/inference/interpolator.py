"""The entry point: two frames and a time in, the frame between them out; a video in, a video out.

from zoomin_d2 import Interpolator

interpolator = Interpolator.from_pretrained("fast")
middle = interpolator(frame_1, frame_2)                    # t = 0.5
three = interpolator(frame_1, frame_2, [0.25, 0.5, 0.75])  # a list of frames
interpolator.video("in.mp4", "out.mp4", fps=60)
"""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

import numpy as np
import torch
from torch import Tensor, nn

from zoomin_d2.generators import FastGenerator
from zoomin_d2.inference.adapters import check_numbers, check_time, for_8bit, from_baseline
from zoomin_d2.inference.averaging import Averaged
from zoomin_d2.inference.backends import check_backend, is_engine, onnx_network
from zoomin_d2.inference.baselines import BASELINES, WARPS, Baseline
from zoomin_d2.inference.devices import as_device, default_dtype
from zoomin_d2.inference.doubt import with_doubt
from zoomin_d2.inference.engine import InferenceEngine
from zoomin_d2.inference.flow_scale import scaled
from zoomin_d2.inference.frame_kinds import check_pair, from_tensor, to_tensor
from zoomin_d2.inference.model_options import FlowScale, Quality, check_generator, check_options
from zoomin_d2.inference.multi_device import MultiDevice
from zoomin_d2.inference.openvino_runtime import OpenVinoEngine
from zoomin_d2.inference.streaming import interpolate_stream
from zoomin_d2.inference.tiles import TiledInterpolate
from zoomin_d2.interpolate import Interpolate
from zoomin_d2.model_zoo.generator_file import load_generator, shipped_generators

if TYPE_CHECKING:
    from zoomin_d2.video import Hooks, Report

Frame = np.ndarray | Tensor
FrameT = TypeVar("FrameT", np.ndarray, Tensor)  # what goes in comes out
Device = str | torch.device
Path = str | os.PathLike[str]


class Interpolator:
    """A model that is ready to use.

    Attributes:
        name: of the model.
        metadata: from its file (model_zoo/generator_file.py); {} without a file.
        workers: how many threads may call it at a time: one per device.
    """

    def __init__(
        self,
        generator: nn.Module | Baseline,
        name: str = "generator",
        *,
        device: Device | Sequence[Device] | None = None,
        dtype: torch.dtype | None = None,
        compile: bool | str = False,
        cuda_graphs: bool | None = None,
        tile: int | Literal["auto"] | None = "auto",
        flow_scale: FlowScale = None,
        quality: Quality = "standard",
        detail: float | None = None,
        backend: str = "torch",
        metadata: dict[str, str] | None = None,
        on_change: Callable[[str], None] | None = None,
    ):
        """
        Args:
            generator: any network with the interface of GENERATORS, which is moved, converted, and
                frozen (give a copy of one that you train or use elsewhere); or a function
                (frame_1, frame_2, t) -> frame without weights, like those of BASELINES.
            device: "cpu", "cuda", "cuda:1", "mps", "xpu"; several, each with a copy of the network,
                take turns. None or "auto" takes a CUDA GPU if there is one, but the CPU for
                functions without weights.
            dtype: of a network. None takes float16 on a GPU, bfloat16 on a CPU that multiplies
                it (Intel's AMX, AVX-512 with BF16: half to two thirds of the time, the same PSNR to
                0.001 dB), float32 elsewhere.
            compile: `torch.compile` the network; the first frame of each size takes a minute.
            cuda_graphs: replay recorded kernels for sizes that recur; None: on a GPU.
            tile: side in pixels, at least 64, of the overlapping tiles that large frames are cut
                into; "auto": as large as the free memory allows; None: whole frames.
            flow_scale: motion is estimated on frames of this size relative to the given ones, above
                0 and at most 1; "auto" takes 0.5 or 0.25 for a pair with large motion, if that fits
                better (inference/flow_scale.py). None: "auto" on a CPU and in `video`; 1 on a GPU,
                for which "auto" would wait at each pair, and where the network is compiled.
            quality: "best" averages each frame with those of mirrored pairs, for four times the
                work (inference/averaging.py); only for networks.
            detail: how far frames get the fine structure of the frames around them, 0 to 2
                (generators/detail.py); only for networks like `fast`. None: as the model was made.
            backend: "torch"; or "onnx", "onnx:cpu", "onnx:openvino", ...: ONNX Runtime and its
                provider run the network in float32 (inference/onnx_runtime.py), and the provider
                chooses the device; or "openvino", OpenVINO on the CPU, in bfloat16 where the CPU
                multiplies it, and "openvino:int8", with convolutions of 8 bits (inference/int8.py).
            on_change: called with a message when the side of the tiles is chosen or halved, or a
                network is exported.

        Raises:
            ValueError: there is no such device, or an option does not fit the model.
            ModuleNotFoundError: the backend is not installed.
        """
        self._given = {k: v for k, v in locals().items() if k not in ("self", "generator", "name")}
        check_generator(generator)
        is_network = isinstance(generator, nn.Module)
        several = isinstance(device, Sequence) and not isinstance(device, str)
        asked = list(cast(Sequence[Device], device)) if several else [cast(Device | None, device)]
        check_options(name, is_network, flow_scale, quality, bool(compile))
        if detail is not None:
            if not isinstance(generator, FastGenerator):
                raise ValueError(f"detail needs a network like 'fast'; '{name}' is not one")
            generator.detail = detail
        if backend != "torch":
            changed = {"dtype": dtype not in (None, torch.float32), "compile": bool(compile)}
            changed["cuda_graphs"] = bool(cuda_graphs)
            changed["flow_scale"] = flow_scale not in (None, 1) and not is_engine(backend)
            changed["device"] = any(x not in (None, "auto") for x in asked) or len(asked) > 1
            check_backend(backend, name, is_network, [x for x, is_so in changed.items() if is_so])
        if not asked:
            raise ValueError("device must name at least one device, got an empty list")
        if not is_network or backend != "torch":
            asked = ["cpu" if one in (None, "auto") else one for one in asked]
        places = [as_device(one) for one in asked]
        if flow_scale is None:
            plain = is_network and is_engine(backend) and not compile
            flow_scale = "auto" if plain and all(x.type == "cpu" for x in places) else 1.0
        self.name = name
        self.metadata = metadata or {}
        self._generator = generator
        self._dtype = torch.float32
        models: list[tuple[torch.device, Interpolate]] = []
        doubtful: list[tuple[torch.device, Interpolate]] = []
        copies = [generator, *(copy.deepcopy(generator) for _ in places[1:])]
        for place, model in zip(places, copies):
            doubted: Interpolate | None = None
            if isinstance(model, nn.Module) and not is_engine(backend):
                made: Interpolate = onnx_network(backend, model, on_change)
            elif isinstance(model, nn.Module):
                if backend == "torch":
                    precision = dtype or default_dtype(place)
                    options: dict[str, Any] = {"compile": compile, "cuda_graphs": cuda_graphs}
                    engine = InferenceEngine(model, place, precision, **options)
                else:
                    engine = OpenVinoEngine(model, backend, on_change)
                self._dtype = engine.dtype
                base = scaled(engine, flow_scale)
                made, doubted = base, base.with_doubt
            else:
                made = for_8bit(from_baseline(model))
                doubted = with_doubt(WARPS[model]) if model in WARPS else None
            if quality == "best":
                made = for_8bit(Averaged(made))
                doubted = None if doubted is None else Averaged(doubted)
            if doubted is not None:
                doubtful.append((place, TiledInterpolate(doubted, tile, on_change)))
            models.append((place, TiledInterpolate(made, tile, on_change)))
        self._device, self._interpolate = models[0]
        self.workers = len(models)
        self._doubtful = doubtful[0][1] if doubtful else None
        if len(models) > 1:
            self._doubtful = MultiDevice(doubtful) if doubtful else None
            self._interpolate = MultiDevice(models)
            self._device = MultiDevice.device
        self._flow_scale, self._tile, self._quality = flow_scale, tile, quality
        self._backend, self._detail = backend, getattr(generator, "detail", 0.0)
        self._for_videos: Interpolator | None = None

    def __reduce__(self):  # a spawned process makes its own of the same network
        return partial(type(self), **self._given), (self._generator, self.name)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: Path = "fast",
        device: Device | Sequence[Device] | None = None,
        dtype: torch.dtype | None = None,
        compile: bool | str = False,
        **options: Any,
    ) -> "Interpolator":
        """A model that ships, one from a file, or a method without learning.

        Args:
            name_or_path: a name (`Interpolator.available()`); "dis" (OpenCV's DIS flow), "average"
                or "nearest"; a .safetensors file of tools/export_model.py, or a training
                checkpoint (.pth).
            device, dtype, compile, **options: as for the class.

        Raises:
            FileNotFoundError: there is no such model or file; the message lists the models.
            UnreadableWeightsError: the file is damaged, or not the one that ships.
            ValueError: the file holds no generator, or as for the class.
        """
        options = {"device": device, "dtype": dtype, "compile": compile, **options}
        if name_or_path in BASELINES:
            name = str(name_or_path)
            return cls(BASELINES[name], name, **options)
        loaded = load_generator(name_or_path, others=BASELINES)
        return cls(loaded.generator, loaded.name, metadata=loaded.metadata, **options)

    @staticmethod
    def available() -> list[str]:
        """Names of the models that ship."""
        return shipped_generators()

    @property
    def device(self) -> torch.device:
        """Where results come from; with several devices, the CPU, which distributes the work."""
        return self._device

    @property
    def flow_scale(self) -> float | Literal["auto"]:
        """The size at which it estimates motion, relative to the frames, or "auto"."""
        return self._flow_scale

    @property
    def dtype(self) -> torch.dtype:
        """The precision that it computes in; OpenVINO chooses its own (float32 here)."""
        return self._dtype

    @property
    def settings(self) -> dict[str, Any]:
        """What decides its frames, beside its name; a video job resumes only with equal ones."""
        names = ("flow_scale", "quality", "detail", "backend")
        return {"dtype": str(self._dtype), **{k: getattr(self, f"_{k}") for k in names}}

    @property
    def generator(self) -> nn.Module:
        """The network, on `device` (of several, on the first one).

        Raises:
            AttributeError: it is a method without learning.
        """
        if not isinstance(self._generator, nn.Module):
            raise AttributeError(f"'{self.name}' is a method without learning: it has no network")
        return self._generator

    @overload
    def __call__(self, frame_1: FrameT, frame_2: FrameT, t: float | Tensor = ...) -> FrameT: ...
    @overload
    def __call__(self, frame_1: FrameT, frame_2: FrameT, t: Sequence[float]) -> list[FrameT]: ...
    def __call__(
        self, frame_1: Frame, frame_2: Frame, t: float | Tensor | Sequence[float] = 0.5
    ) -> Any:
        """The frame at time t, or the frames at several times.

        Args:
            frame_1, frame_2: of one kind and size: numpy (H, W, 3) RGB or gray, uint8, uint16 or
                float in [0, 1]; or tensors (N, 3, H, W), float in [0, 1] or uint8, on any device
                (full list: inference/frame_kinds.py).
            t: 0 < t < 1, 0 is frame_1 and 1 is frame_2; or a tensor (N,) with one t per pair; or a
                list of times, for which the frames are encoded once if the generator can.

        Returns:
            a frame of the same kind, dtype (float arrays: float32), size and device; for a list of
            times, a list of them.

        Raises:
            TypeError, ValueError: a frame or a time is invalid; the message says which and why.
        """
        tensor_1, kind = to_tensor(frame_1, "frame_1")
        tensor_2, kind_2 = to_tensor(frame_2, "frame_2")
        check_pair(kind, kind_2)
        several = isinstance(t, list | tuple) or (not isinstance(t, Tensor) and np.ndim(t) > 0)
        asked: list = list(cast(Sequence, t)) if several else [t]
        # One time per pair is a tensor, which our own models also take.
        times = cast(list[float], [check_time(x, len(tensor_1)) for x in asked])
        with torch.no_grad():
            there_1, there_2 = (x.to(self.device, non_blocking=True) for x in (tensor_1, tensor_2))
            made = self._interpolate(there_1, there_2, times) if times else []
        frames: list = [from_tensor(x, kind) for x in made]
        return frames if several else frames[0]

    def with_alpha(self, frame_1: Tensor, frame_2: Tensor, ts: list[float]) -> list[Tensor]:
        """The frames between two with transparency, which moves with the flows of the colors.

        Args:
            frame_1, frame_2: (N, 4, H, W) float in [0, 1], colors multiplied by alpha.
            ts: times in (0, 1).

        Returns:
            one (N, 4, H, W) per time.
        """
        with torch.no_grad():
            if isinstance(self._generator, nn.Module) and is_engine(self._backend):
                return self._interpolate(frame_1, frame_2, ts)
            gray_1, gray_2 = (frame[:, 3:].expand(-1, 3, -1, -1) for frame in (frame_1, frame_2))
            colors = self._interpolate(frame_1[:, :3], frame_2[:, :3], ts)
            pairs = zip(colors, self._interpolate(gray_1, gray_2, ts))
            return [torch.cat([c, a[:, :1]], 1) for c, a in pairs]

    @property
    def with_doubt(self) -> Interpolate | None:
        """Makes frames with their doubt (inference/doubt.py); None for methods without flow.

        The function takes two float frames (N, 3 or 4, H, W), the latter as `with_alpha` does, and
        times; it returns one frame per time with one more channel, which is the doubt, 0 to 1.
        """
        return None if self._doubtful is None else self._frames_and_doubt

    def _frames_and_doubt(
        self, frame_1: Tensor, frame_2: Tensor, ts: list[float], /
    ) -> list[Tensor]:
        assert self._doubtful is not None
        with torch.no_grad():
            if frame_1.shape[1] == 3 or isinstance(self._generator, nn.Module):
                return self._doubtful(frame_1, frame_2, ts)
            made = self._doubtful(frame_1[:, :3], frame_2[:, :3], ts)
            alphas = self.with_alpha(frame_1, frame_2, ts)
            return [torch.cat([a, m[:, 3:]], 1) for a, m in zip(alphas, made)]

    def stream(
        self, frames: Iterable[np.ndarray], ts: float | Sequence[float] = (0.5,)
    ) -> Iterator[list[np.ndarray]]:
        """The frames between every two neighbors of a stream, with copies and work overlapped.

        Args:
            frames: (H, W, 3) uint8 RGB, all of one size.
            ts: a time in (0, 1), or several.

        Returns:
            an iterator over len(frames) - 1 lists of len(ts) arrays (H, W, 3) uint8.

        Raises:
            ValueError: a time or, while iterating, a frame is invalid.
        """
        times = check_numbers(ts)
        return interpolate_stream(self._interpolate, self.device, frames, times)

    def for_videos(self) -> "Interpolator":
        """This one, with flow_scale "auto" if none was given: in a video, that costs no time, since
        decoding and encoding take longer. Only networks like `fast` measure motion on the way."""
        given = self._given["flow_scale"] is not None or self._flow_scale == "auto"
        fused = isinstance(self._generator, FastGenerator) and self._backend == "torch"
        if given or not fused or self._given["compile"]:
            return self
        if self._for_videos is None:
            options = {**self._given, "flow_scale": "auto"}
            self._for_videos = type(self)(self._generator, self.name, **options)
        return self._for_videos

    def video(
        self,
        inputs: Path | Sequence[Path],
        output: Path,
        *,
        fps: Any = None,
        multi: Any = None,
        slowmo: Any = Fraction(1),
        input_fps: Any = None,
        filters: str = "",
        hooks: "Hooks | None" = None,
        **options: Any,
    ) -> "Report":
        """Make a smoother or slower video from a video, a folder of images or two images; sound,
        subtitles and timing are kept.

        Args:
            inputs, output: as `zoomin_d2.video.interpolate_video` takes them.
            fps: frames per second of the output; multi: frames per frame of the input (2 if none of
                the three is given); slowmo: how many times longer the output lasts.
            input_fps: frames per second of images. filters: a chain of FFmpeg's video filters
                before interpolation, such as "bwdif,crop=1920:800".
            hooks: progress, stopping, and changes of the frames.
            **options: fields of `JobOptions`, `StreamOptions` and `EncodeOptions`, such as
                codec="h265", dedupe=True, unsure="blend", mask="hud.png", cuts="cuts.csv".

        Returns:
            a report: counts of frames, scene cuts, damage, warnings.

        Raises:
            VideoError: by name; see zoomin_d2/video/errors.py.
            TypeError: there is no such option.
            ValueError: the target is invalid.
        """
        from zoomin_d2.video import Target, interpolate_video
        from zoomin_d2.video.jobs.options import job_options

        auto = self.for_videos()
        if multi is None and fps is None and slowmo == 1:
            multi = 2
        job = job_options(**{"model": self.name, "extra": auto.settings, **options})
        target = Target(multi=multi, fps=fps, slowmo=slowmo)
        return interpolate_video(inputs, output, auto, target, job, hooks, input_fps, None, filters)

    def __repr__(self) -> str:
        devices = f", devices={self.workers}" if self.workers > 1 else ""
        return (
            f"Interpolator('{self.name}', device='{self.device}'{devices}, dtype={self.dtype}, "
            f"tile={self._tile!r}, flow_scale={self._flow_scale}, "
            f"quality='{self._quality}'"
            f"{f', detail={self._detail:g}' if self._detail else ''}"
            f"{'' if self._backend == 'torch' else f', backend={self._backend!r}'})"
        )
