"""The command: what it takes, what it writes, how it ends."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from fractions import Fraction as F

import av
import cv2
import numpy as np
import pytest

import zoomin_d2.cli.interpolate_video as command
from zoomin_d2.cli.arguments import make_options, make_parser, paths_before_devices
from zoomin_d2.cli.interpolate_video import main
from zoomin_d2.video.write.segments import SegmentFolder


def count_frames(path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_preview_counts_what_it_shows(run, clip, tmp_path):
    code, _, err = run(clip(num_frames=40), tmp_path / "out.mp4", "--preview", "0.2s")
    assert (code, "5 -> 10 frames (5 made)" in err) == (0, True), err
    code, _, err = run(clip(num_frames=40), tmp_path / "out.gif", "--preview", "0.2s")
    assert (code, "5 -> 10 frames (5 made)" in err) == (0, True), err


def test_doubles_by_default(run, clip, tmp_path):
    code, out, err = run(clip(), tmp_path / "out.mp4")
    assert (code, out) == (0, "")
    assert "12 -> 24 frames (11 made), 0.480 s at 50 fps, 64x48 libx264 yuv420p" in err
    assert count_frames(tmp_path / "out.mp4") == 24


@pytest.mark.parametrize(
    "options, frames",
    [(["--multi", "3"], 36), (["--fps", "60000/1001"], 29), (["--slowmo", "2.5"], 30)],
)
def test_targets(run, clip, tmp_path, options, frames):
    assert run(clip(), tmp_path / "out.mkv", *options)[0] == 0
    assert count_frames(tmp_path / "out.mkv") == frames


def test_options_between_input_and_output(run, clip, tmp_path):
    source, output = clip(), tmp_path / "out.mkv"
    assert run(source, "--device", "cpu", "--multi", "3", output)[0] == 0
    assert count_frames(output) == 36


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("--device cpu in.mp4 out.mp4", "in.mp4 out.mp4 --device cpu"),
        ("in.mp4 --device cuda:0 cuda:1 out.mp4", "in.mp4 out.mp4 --device cuda:0 cuda:1"),
        ("--device cpu - - --fps 60", "- - --device cpu --fps 60"),
        ("--device gpu in.mp4 out.mp4", "in.mp4 out.mp4 --device gpu"),  # the error names it
        ("a.mp4 b.mp4 --device cpu cdua:1", "a.mp4 b.mp4 --device cpu cdua:1"),
        ("--dev cpu a/ --device cuda:1 b/ --fps 60", "a/ --dev cpu b/ --device cuda:1 --fps 60"),
        ("--device --fps 60 in.mp4", "--device --fps 60 in.mp4"),
        ("in.mp4 -- --device cpu out.mp4", "in.mp4 -- --device cpu out.mp4"),
        ("in.mp4 out.mp4 --fps 60", "in.mp4 out.mp4 --fps 60"),
    ],
)
def test_paths_behind_devices(words, meant):
    assert paths_before_devices(words.split()) == meant.split()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["in.mp4"], "the output last"),
        (["in.mp4", "out.mp4", "--multi", "2", "--fps", "60"], "multi cannot be combined"),
        (["in.mp4", "out.mp4", "--fps", "fast"], "not a frame rate"),
        (["in.mp4", "out.mp4", "--tile", "3"], "at least 64"),
        (["in.mp4", "out.mp4", "--shutter", "400"], "at most 360 degrees"),
        (["in.mp4", "out.mp4", "--filter", "nonsense"], "no filter 'nonsense'"),
        (["in.mp4", ""], "an empty name among the paths"),
        (["", "out/"], "an empty name among the paths"),
        (["a.mp4", "b.mp4", "out.mp4"], "several videos (a.mp4, b.mp4) need a folder"),
        (["in.mp4", "out.mp4", "--flow-scale", "0.5"], "flow_scale needs a network"),
    ],
)
def test_wrong_options(run, arguments, words):
    code, _, err = run(*arguments)
    assert code == 2
    assert words in err
    assert len(err.splitlines()) < 5  # what is wrong, not a screen of options above it


def test_an_unknown_model_is_named(run, clip, tmp_path):
    code, _, err = run(clip(), tmp_path / "out.mp4", model="no-such-model")
    assert code == 2
    assert "no-such-model" in err and "Traceback" not in err


def test_errors_have_their_exit_codes(run, clip, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    assert run(text, tmp_path / "out.mp4")[0] == 3
    source = clip()
    assert run(source, tmp_path / "absent" / "out.mp4")[0] == 5
    assert run(source, tmp_path / "out.xyz")[0] == 5
    assert run(source, tmp_path / "out.mp4")[0] == 0
    code, _, err = run(source, tmp_path / "out.mp4")
    assert code == 5 and "--overwrite" in err
    assert run(source, tmp_path / "out.mp4", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    "inputs, output",
    [(["in.mp4", "in.mp4"], "/proc/absent/out/"), (["n" * 300 + ".mp4"], "out.mp4")],
)
def test_paths_that_cannot_be_are_told(run, clip, tmp_path, monkeypatch, inputs, output):
    clip()
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*inputs, output)
    assert code == 2
    assert "No such file" in err or "too long" in err


def test_batch_continues_after_too_long_name(run, clip, tmp_path):
    code, _, err = run(clip(), tmp_path / ("n" * 300 + ".mp4"), tmp_path / "outputs")
    assert code == 3
    assert "File name too long" in err and "1 of 2 done" in err
    assert count_frames(tmp_path / "outputs/in.mp4") == 24


def test_damage_has_exit_code_and_output(run, clip, tmp_path):
    source = clip("in.mkv", 100)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 6 // 10])
    code, _, err = run(source, tmp_path / "out.mkv")
    assert code == 4
    assert "is damaged: the video ends" in err
    assert count_frames(tmp_path / "out.mkv") > 100
    assert run(source, tmp_path / "fail.mkv", "--on-damage", "fail")[0] == 4
    assert not (tmp_path / "fail.mkv").exists()


def test_late_failure_tells_how_to_resume(run, clip, tmp_path, monkeypatch):
    class Fails:
        name, settings, calls = "fails", {}, 0

        def for_videos(self):
            return self

        def __call__(self, frame_1, frame_2, ts):
            self.calls += 1
            return [frame_1 * (float("nan") if self.calls > 130 else 1.0) for _ in ts]

    source = clip(num_frames=150)
    with monkeypatch.context() as context:
        context.setattr(command.Interpolator, "from_pretrained", lambda *_, **__: Fails())
        code, _, err = run(source, tmp_path / "out.mp4")
    assert code == 7
    assert "not finite" in err and "Run the same command with --resume to continue" in err
    code, _, err = run(source, tmp_path / "out.mp4", "--resume", "--crf", "30")
    assert code == 5 and "or --overwrite to start over" in err
    assert "--resume" not in err  # it would not
    code, _, err = run(source, tmp_path / "out.mp4", "--resume")
    assert code == 5 and "model: fails then, average now" in err


def test_losses_have_an_exit_code(run, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "zoomin_d2.video.write.verify._lost_descriptions", lambda *_: ["metadata: SCANNER"]
    )
    code, _, err = run(clip(), tmp_path / "out.mp4", "--quiet")
    assert (code, err) == (9, "missing in the output: metadata: SCANNER\n")


def test_batches_never_replace_their_inputs(run, clip, tmp_path):
    first, second = clip("a.avi"), clip("a.mkv")
    before = second.read_bytes()
    code, _, err = run(first, second, tmp_path, "--overwrite")
    assert code == 5
    assert err.count("\n") == 1 and "would replace the input" in err
    assert second.read_bytes() == before


@pytest.mark.parametrize("debug", [False, True])
def test_one_line_without_debug(run, clip, tmp_path, monkeypatch, debug):
    def fails(*_):
        raise RuntimeError("a fault\nin two lines")

    monkeypatch.setattr("zoomin_d2.video.jobs.container_job.choose_encoder", fails)
    options = ["--debug"] if debug else []
    code, _, err = run(clip(), tmp_path / "out.mp4", *options)
    lines = err.splitlines()
    assert code == 1
    assert "Unexpected RuntimeError: a fault in two lines. Please report it" in lines[0]
    assert (len(lines) == 1) != debug
    assert ("Traceback" in err and "in fails" in err) == debug


def test_lines_of_json(run, clip, tmp_path):
    source = clip(num_frames=60)
    code, out, err = run(source, tmp_path / "out.mp4", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and err == ""
    assert lines[-1]["event"] == "done" and lines[-1]["output_frames"] == 120
    progress = [line for line in lines if line["event"] == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == 120
    code, out, _ = run(source, tmp_path / "out.mp4", "--json")
    error = json.loads(out.splitlines()[-1])
    assert (error["event"], error["kind"], error["exit_code"]) == ("error", "OutputError", 5)


def test_batch_continues_after_a_failure(run, clip, tmp_path):
    videos = tmp_path / "videos"
    clip("videos/a.mp4")
    clip("videos/b b.mp4")
    (videos / "broken.mp4").write_text("no video")
    code, _, err = run(videos, tmp_path / "out")
    assert code == 3
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.mp4", "b b.mp4"]
    assert "2 of 3 done, 1 failed" in err
    assert "broken.mp4" in err
    code, _, err = run(videos / "a.mp4", videos / "b b.mp4", tmp_path / "two")
    assert code == 0 and "2 of 2 done" in err


def test_images_in_numeric_order(run, images, tmp_path):
    code, _, _ = run(images(), tmp_path / "out.mkv", "--codec", "ffv1", "--input-fps", "10")
    assert code == 0
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].average_rate == 20
        means = [f.to_ndarray(format="rgb24").mean() for f in container.decode(video=0)]
    assert np.allclose(means[:23], 5 * np.arange(23), atol=1.5)


def test_two_images(run, images, tmp_path):
    folder = images()
    pair = folder / "2.png", folder / "10.png"
    code, _, err = run(*pair, tmp_path / "middle.png")
    assert code == 0 and ": 2 -> 1 frames (1 made), 40x30 png; took" in err
    assert (cv2.imread(str(tmp_path / "middle.png")) == 60).all()
    code, _, err = run(*pair, tmp_path / "four.png", "--multi", "4")
    assert code == 2 and "four.png: a single output image is the frame halfway" in err
    assert run(*pair, tmp_path / "both.png", "--compare", "side")[0] == 0
    both = cv2.imread(str(tmp_path / "both.png"))
    assert both.shape == (30, 80, 3) and (both[-1, ::79] == [[20], [60]]).all()
    assert run(*pair, tmp_path / "between", "--multi", "4", "--no-cuts")[0] == 0
    made = sorted((tmp_path / "between").iterdir())
    assert [cv2.imread(str(p)).mean() for p in made] == [20, 40, 60, 80, 100]
    code, _, err = run(folder / "2.png", tmp_path / "x.mp4")
    assert code == 3 and "a single image cannot be interpolated" in err


def test_gifs(run, clip, tmp_path):
    assert run(clip(), tmp_path / "a.gif", "--fps", "20")[0] == 0
    assert run(tmp_path / "a.gif", tmp_path / "b.gif")[0] == 0
    with av.open(str(tmp_path / "b.gif")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 20
    assert abs(frames[-1].time - 0.475) < 0.02
    code, _, err = run(tmp_path / "b.gif", tmp_path / "c.gif", "--multi", "4")
    assert code == 5 and "at most 100" in err


def test_a_comparison(run, clip, tmp_path):
    source = clip(num_frames=6, height=64, width=96)
    assert run(source, tmp_path / "side.mp4", "--compare", "side")[0] == 0
    with av.open(str(tmp_path / "side.mp4")) as container:
        assert container.streams.video[0].width == 192


def test_proposals_are_drawn(run, clip, tmp_path):
    source = clip(num_frames=3, height=96, width=128)
    assert run(source, tmp_path / "plain.mkv", "--codec", "ffv1")[0] == 0
    assert run(source, tmp_path / "drawn.mkv", "--codec", "ffv1", "--draw-proposals")[0] == 0
    with av.open(str(tmp_path / "plain.mkv")) as a, av.open(str(tmp_path / "drawn.mkv")) as b:
        pairs = zip(a.decode(video=0), b.decode(video=0))
        changed = [
            (x.to_ndarray(format="rgb24") != y.to_ndarray(format="rgb24")).any() for x, y in pairs
        ]
    assert all(changed) and len(changed) == 6


def test_devices_give_the_same_frames(clip, tmp_path, run):
    source = clip(num_frames=40)
    lossless = ["--codec", "ffv1"]
    assert run(source, tmp_path / "one.mkv", *lossless)[0] == 0
    assert run(source, tmp_path / "two.mkv", *lossless, "--device", "cpu", "cpu")[0] == 0
    frames = []
    for name in ("one.mkv", "two.mkv"):
        with av.open(str(tmp_path / name)) as container:
            frames.append([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    one, two = np.array(frames).astype(int)
    assert one.shape == two.shape == (80, 48, 64, 3)
    assert np.abs(one - two).max() <= 1  # a mean that ends in .5 may be rounded either way


def test_pipes_in_and_out(run, clip, tmp_path, monkeypatch):
    source = clip(num_frames=20)
    pipe = io.BytesIO()
    with monkeypatch.context() as context:
        context.setattr("sys.stdout", types.SimpleNamespace(buffer=pipe))
        assert main([str(source), "-", "--quiet", "--model", "average"]) == 0
    y4m = pipe.getvalue()
    assert y4m.startswith(b"YUV4MPEG2 W64 H48 F50:1")
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(y4m)))
    code, _, err = run("-", tmp_path / "out.mkv", "--fps", "25")
    assert code == 0
    assert "40 -> 20 frames" in err
    assert count_frames(tmp_path / "out.mkv") == 20


def test_mp4_in_a_pipe_needs_index_first(run, tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    with av.open(str(tmp_path / "in.mp4"), "w") as out:  # more than FFmpeg keeps of a pipe
        stream = out.add_stream("libx264", rate=25, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for k in range(12):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, 7 * k * k, axis=1))))
        out.mux(stream.encode())

    class Pipe:  # reads, and does not seek
        read = io.BytesIO((tmp_path / "in.mp4").read_bytes()).read

    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=Pipe()))
    code, _, err = run("-", tmp_path / "out.mkv")
    assert code == 3
    assert "its index at the end, which a pipe cannot reach: give the file" in err


@pytest.fixture
def film(clip, write_sound, join_streams):
    chapters = [{"id": 1, "start": 0, "end": 400, "time_base": F(1, 1000), "metadata": {}}]
    return join_streams("film.mkv", clip(), write_sound("sound.flac"), chapters=chapters)


def test_what_pictures_leave_behind(run, film, tmp_path):
    _, _, err = run(film, tmp_path / "out.gif")
    assert "only pictures, without audio stream 1 (flac), chapters\n" in err


@pytest.mark.parametrize("options", [[], ["--audio", "drop"]], ids=["all", "silent"])
def test_what_a_pipe_leaves_behind(run, film, tmp_path, monkeypatch, options):
    for name in ("out.mp4", "out.gif"):
        data = io.BytesIO(film.read_bytes())
        monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=data))
        code, _, err = run("-", tmp_path / name, *options)
        lost = ["chapters"] if options else ["audio stream 1 (flac)", "chapters"]
        if name == "out.gif":
            assert code == 0 and f"only pictures, without {', '.join(lost)}\n" in err
            continue
        assert code == 9
        for what in lost:
            assert f"missing in the output: {what}: a pipe is read once, for its pic" in err
        assert err.count("missing") == len(lost)


def test_a_named_pipe_is_an_input(run, film, tmp_path):
    os.mkfifo(tmp_path / "pipe")  # as the shell's <(command) gives it
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[film.read_bytes()])
    writer.start()
    code, _, err = run(tmp_path / "pipe", tmp_path / "out.mkv")
    writer.join()
    assert code == 9 and "audio stream 1 (flac): a pipe is read once" in err
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert len(list(container.decode(video=0))) == 24


def test_raw_video_on_standard_input(run, tmp_path, monkeypatch):
    raw = b"".join(bytes([10 * i]) * (32 * 16 * 3) for i in range(8))
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(raw)))
    options = ["--raw-input", "32x16:rgb24:30000/1001", "--codec", "ffv1"]
    code, _, err = run("-", tmp_path / "out.mkv", *options)
    assert code == 0, err
    with av.open(str(tmp_path / "out.mkv")) as container:
        means = [f.to_ndarray(format="rgb24").mean() for f in container.decode(video=0)]
    assert np.allclose(means[:15], 5 * np.arange(15), atol=1.5)


@pytest.mark.parametrize(
    "raw", ["32:rgb24", "32x16:rgb99:25", "32x0:rgb24:25", "32x16:rgb24:0", "32x16:rgb24:1/0"]
)
def test_raw_input_is_checked(run, tmp_path, raw):
    code, _, err = run("-", tmp_path / "out.mkv", "--raw-input", raw)
    assert code == 2 and f"--raw-input {raw}: expected WIDTHxHEIGHT:PIX_FMT:FPS" in err


def test_ctrl_c_leaves_a_playable_file(start, run, clip, tmp_path):
    source = clip("long.mp4", num_frames=1500, height=96, width=128)
    output = tmp_path / "out.mp4"
    child, errors = start(source, output)
    journal = tmp_path / "out.mp4.segments" / "journal.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and json.loads(journal.read_text())["segments"]:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    code, err = child.wait(60), errors.read_text()
    assert code == 130, err
    assert "A playable partial result is in " in err and "out.partial.mp4" in err
    assert "Run the same command with --resume to continue" in err
    assert not output.exists()
    assert 240 <= count_frames(tmp_path / "out.partial.mp4") < 3000
    code, _, err = run(source, output, "--resume")
    assert code == 0, err
    assert count_frames(output) == 3000
    assert sorted(os.listdir(tmp_path)) == ["long.mp4", "out.mp4"]


@pytest.mark.parametrize("text, max_gap", [(None, 0.5), ("2", 2.0), ("1.5s", 1.5), ("off", None)])
def test_the_longest_gap(text, max_gap):
    arguments = ["in.mp4", "out.mp4", *([] if text is None else ["--max-gap", text])]
    model = types.SimpleNamespace(name="average", device="cpu", workers=1, settings={})
    options = make_options(make_parser().parse_args(arguments), model)
    assert options.stream.max_gap == max_gap


def test_an_estimate_makes_no_output(run, clip, tmp_path):
    source = clip(num_frames=40)
    before = sorted(tmp_path.iterdir())
    code, out, err = run(source, tmp_path / "out.mp4", "--estimate", "--compare", "side")
    assert (code, err, sorted(tmp_path.iterdir())) == (0, "", before)
    assert "for 80 frames (" in out and "of disk while it is made" in out
    code, out, _ = run(source, tmp_path / "out.gif", "--estimate", "--json")
    content = json.loads(out)
    assert (code, content["event"], content["frames"]) == (0, "estimate", 80)
    code, out, err = run(source, "-", "--estimate")
    assert (code, out, err.count("\n")) == (5, "", 1) and "cannot be estimated" in err


def test_backends_and_devices_in_one_line(run, clip, tmp_path):
    for options, words in (
        (["--backend", "tpu"], "there is no backend 'tpu': give torch, openvino, "),
        (["--device", "mps"], "there is no device 'mps': PyTorch finds 0 Apple GPUs here"),
        (["--backend", "onnx"], "backend 'onnx' needs a network; 'average' is not one"),
    ):
        code, out, err = run(clip(), tmp_path / "out.mp4", *options)
        assert (code, out, err.count("\n")) == (2, "", 1) and words in err


def test_filters_come_before_the_shutter(run, clip, tmp_path):
    shown = ["--deinterlace", "--filter", "crop=40:20", "--fps", "50", "--shutter", "90"]
    code, _, err = run(clip(), tmp_path / "out.mp4", *shown)
    assert code == 0 and "24 -> 24 frames (24 made), 0.480 s at 50 fps, 40x20" in err
    assert "not marked as interlaced" in err
    code, _, err = run(clip(), tmp_path / "out.mp4", "--filter", "crop=99:99", "--overwrite")
    assert code == 2 and err.startswith("zoomin-interpolate: --filter crop=99:99: ")
    assert err.count("\n") == 1


def test_as_a_module():
    arguments = [sys.executable, "-m", "zoomin_d2.cli.interpolate_video", "absent.mp4", "out.mp4"]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 3 and "absent.mp4: no such file" in done.stderr


def test_a_run_still_going_is_not_resumed(run, clip, tmp_path):
    source, output = clip(), tmp_path / "out.mp4"
    folder = SegmentFolder(output, {}, resume=False, overwrite=False)
    code, _, message = run(source, output)
    assert code != 0
    assert "Another run is writing" in message and "--resume" not in message
    folder.release(remove=True)
