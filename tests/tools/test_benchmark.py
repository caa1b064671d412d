"""tools/benchmark.py frame on a CPU: what is measured, kept, reported; errors cost one row."""

import json

import benchmark
import pytest
import torch

from zoomin_d2.evaluation.benchmark import frame
from zoomin_d2.evaluation.benchmark.report import quality_and_time
from zoomin_d2.inference.peers import TimedModel, TimedPeer, load_peer
from zoomin_d2.model_zoo.generator_file import save_generator
from zoomin_d2.modeling import build_generator
from zoomin_d2.modeling.generator_options import generator_options


def average(frame_1, frame_2):
    """A peer: the mean of the frames."""
    return (frame_1 + frame_2) / 2


average.module = torch.nn.Linear(3, 4)  # 16 parameters


def broken(frame_1, frame_2):
    raise RuntimeError("no")


@pytest.fixture
def model(small_cfg, tmp_path):
    path = tmp_path / "small.safetensors"
    save_generator(path, build_generator(small_cfg), generator_options(small_cfg), "small")
    return path


def _run(tmp_path, *args):
    fixed = ["frame", "--device", "cpu", "--size", "32x16", "16x16", "--calls", "3", "--batch", "2"]
    fixed += ["--seconds", "0.2", "--output", str(tmp_path / "out")]
    args = benchmark.make_parser().parse_args([*fixed, *map(str, args)])
    return args.run(args)


def _rows(content, **key):
    return [r for r in content["rows"] if key.items() <= r.items()]


def test_results_need_different_names(model, tmp_path):
    """The second of two methods of one name was left out without a word."""
    other = tmp_path / "other" / model.name
    other.parent.mkdir()
    other.write_bytes(model.read_bytes())
    with pytest.raises(ValueError, match="two methods have the name 'small'"):
        _run(tmp_path, "--model", model, other)
    recipes = [f"configs/{x}/baseline.yaml" for x in ("fast", "fine")]
    content = _run(tmp_path, "--config-file", *recipes, "--calls", "1", "--mode", "eager")
    names = {row["method"] for row in content["rows"]}
    assert names == {f"fast ({x}/baseline, random weights)" for x in ("fast", "fine")}


def test_everything_is_measured_and_reported(model, tmp_path, monkeypatch):
    sample = {
        k: torch.full((3, 16, 16), v, dtype=torch.uint8)
        for k, v in (("frame_1", 10), ("frame_t", 20), ("frame_2", 30))
    }
    monkeypatch.setattr(frame, "read_samples", lambda dataset: [sample])
    peer = f"{__name__}:average"
    content = _run(tmp_path, "--model", model, "--peer", peer, "--dataset", "x")
    assert json.loads((tmp_path / "out" / "benchmark.json").read_text()) == content
    for method in ("small", "average"):
        for batch in (1, 2):
            for width, height in ((32, 16), (16, 16)):
                (row,) = _rows(
                    content, what="latency", method=method, width=width, height=height, batch=batch
                )
                assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
                assert row["fps"] == pytest.approx(1e3 * batch / row["median_ms"], rel=1e-2)
                assert row["peak_memory_mb"] is None
    assert len(_rows(content, what="stream", method="small")) == 2
    assert not _rows(content, what="stream", method="average")
    assert _rows(content, what="quality", method="average")[0]["PSNR"] == 100  # 20: exact
    assert content["methods"]["average"]["parameters"] == 16
    assert content["methods"]["small"]["kmac_per_pixel"] > 10
    report = (tmp_path / "out" / "benchmark.md").read_text()
    assert "| small, eager, float32" in report and "+0.000" in report
    assert (tmp_path / "out" / "fig4.png").stat().st_size > 1000
    points = quality_and_time(content)
    assert {p[0] for p in points} == {"small", "average"}


def test_resumed_and_out_of_time(model, tmp_path):
    first = _run(tmp_path, "--model", model, "--budget", "0")
    assert first["rows"] == [] and len(first["left_out"]) == 8
    complete = _run(tmp_path, "--model", model)
    assert len(complete["rows"]) == 8 and complete["left_out"] == []
    again = _run(tmp_path, "--model", model, "--resume", "--budget", "0")
    assert again["rows"] == complete["rows"] and again["left_out"] == []


def test_errors_cost_one_row(model, tmp_path):
    content = _run(tmp_path, "--model", model, "--peer", f"{__name__}:broken")
    assert {r["error"] for r in _rows(content, method="broken")} == {"RuntimeError: no"}
    assert len([r for r in content["rows"] if "error" not in r]) == 8
    assert (
        "broken, eager, float32 32x16 (latency): RuntimeError"
        in (tmp_path / "out" / "benchmark.md").read_text()
    )
    with pytest.raises(SystemExit, match="nothing could be measured"):
        _run(tmp_path / "broken", "--peer", f"{__name__}:broken")


def untrained(frame_1, frame_2):
    """A peer that finds out at its first frame that it has no weights."""
    untrained.random_weights = True
    return frame_1


def test_random_weights_are_timed_only(tmp_path, monkeypatch):
    black = torch.zeros(3, 32, 32, dtype=torch.uint8)
    sample = {"frame_1": black, "frame_t": black, "frame_2": black}
    monkeypatch.setattr(frame, "read_samples", lambda dataset: [sample])
    arguments = ["--config-file", "configs/baseline.yaml", "--peer", f"{__name__}:untrained"]
    tiny = ["MODEL.GENERATOR.PAPER.FLOW_CHANNELS", "[4,4]"]
    content = _run(tmp_path, *arguments, "--dataset", "x", *tiny)
    rows = _rows(content, what="quality")
    assert len(rows) == 2 and all("the method's weights are random" in row["error"] for row in rows)
    assert not (tmp_path / "out" / "fig4.png").exists()


def test_timed_methods_are_the_plain_call(small_generator_on_cpu):
    frames = [torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8) for _ in range(2)]
    cpu = torch.device("cpu")
    with torch.no_grad():
        expected = small_generator_on_cpu(*(x / 255 for x in frames), torch.tensor([0.5]))[0]
    model = TimedModel(small_generator_on_cpu, cpu, torch.float32, "eager")
    found = model(*(model.prepare(x) for x in frames))
    assert (found / 255 - expected).abs().max() < 1 / 255
    peer = TimedPeer(average, cpu, torch.float32, "eager")
    torch.testing.assert_close(
        peer(*(peer.prepare(x) for x in frames)), (frames[0] / 255 + frames[1] / 255) / 2
    )


@pytest.fixture
def small_generator_on_cpu(small_cfg):
    return build_generator(small_cfg).eval()


def test_unknown_device_is_refused():
    args = benchmark.make_parser().parse_args(["frame", "--device", "nonsense"])
    with pytest.raises(ValueError, match="there is no device 'nonsense'"):
        benchmark.benchmark_frame(args)


def test_peers_and_modes_that_are_refused():
    with pytest.raises(ValueError, match="module:function, got 'average'"):
        load_peer("average")
    with pytest.raises(ValueError, match="no function 'nothing'"):
        load_peer(f"{__name__}:nothing")
    with pytest.raises(ValueError, match="needs a GPU"):
        TimedPeer(average, torch.device("cpu"), torch.float32, "graph")
