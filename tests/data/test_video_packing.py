import json
import os

import numpy as np
import pytest

from tests.helpers.locks import locked_by_another
from zoomin_d2.data import packing, video_packing
from zoomin_d2.data.datasets.prepared_clips import load_prepared_clips
from zoomin_d2.data.frame_store import FrameStore
from zoomin_d2.data.packing import box_average, crop_to_multiple, write_shot
from zoomin_d2.data.video_file import iter_frames
from zoomin_d2.data.video_packing import PackOptions, prepare_video, prepare_video_folder
from zoomin_d2.frames import CorruptFrameError


@pytest.fixture
def videos(tmp_path, write_video, moving_frames):
    """Two good videos, one of them with a cut and a repeated frame, and one that is none."""
    source = tmp_path / "source"
    one, two = moving_frames(12, seed=1), moving_frames(10, seed=2)
    write_video(source / "cut.mp4", one[:7] + [one[6]] + one[7:] + two)
    write_video(source / "sub" / "plain.mkv", moving_frames(9, seed=3), fps=50)
    (source / "bad.mp4").write_text("no video")
    (source / "notes.txt").write_text("not looked at")
    return source


def prepare(source, destination, **options):
    return prepare_video_folder(
        source, destination, PackOptions(**options), num_workers=1, show_progress=False
    )


def load(destination):
    return load_prepared_clips(destination, "videos_x", "python datasets/prepare_videos.py")


def test_a_folder_of_videos_becomes_clips(videos, tmp_path):
    index = prepare(videos, tmp_path / "out")
    counts = index["counts"]
    assert (counts["videos"], counts["corrupt_videos"], counts["shots"]) == (3, 1, 3)
    assert (counts["cuts"], counts["left_out_at_repeats"]) == (1, 0)
    assert (counts["frames"], counts["frames_kept"]) == (23 + 9, 23 + 9)
    assert index["corrupt_videos"][0]["file"].endswith("bad.mp4")
    assert "cannot be opened" in index["corrupt_videos"][0]["reason"]
    assert json.loads((tmp_path / "out" / "index.json").read_text())["counts"] == counts
    assert not list(tmp_path.rglob("*.part"))

    records = load(tmp_path / "out")
    lengths = {record["file_name"]: len(record["frames"]) for record in records}
    assert lengths == {
        "videos_x/cut_mp4/000/0": 7,
        "videos_x/cut_mp4/000/7": 6,
        "videos_x/cut_mp4/001/0": 10,
        "videos_x/sub__plain_mkv/000/0": 9,
    }
    assert [record["fps"] for record in records] == pytest.approx([25, 25, 25, 50])
    decoded = [frame.image for frame in iter_frames(videos / "cut.mp4")]
    store = FrameStore()
    packed = [store.read(ref) for record in records[:3] for ref in record["frames"]]
    assert all(np.array_equal(one, two) for one, two in zip(packed, decoded, strict=True))
    assert all((r["height"], r["width"]) == (48, 64) for r in records)


def test_index_only_reads_the_videos(videos, tmp_path):
    prepare(videos, tmp_path / "packed")
    prepare(videos, tmp_path / "indexed", pack=False)
    assert not list((tmp_path / "indexed" / "shots").iterdir())
    store = FrameStore()
    packed, indexed = load(tmp_path / "packed"), load(tmp_path / "indexed")
    assert [len(r["frames"]) for r in packed] == [len(r["frames"]) for r in indexed]
    for one, two in zip(packed, indexed):
        for first, second in zip(one["frames"], two["frames"]):
            assert np.array_equal(store.read(first), store.read(second))


def test_frames_are_never_enlarged(videos, tmp_path):
    prepare(videos, tmp_path / "out", short_side=24)
    assert {(r["height"], r["width"]) for r in load(tmp_path / "out")} == {(24, 32)}
    prepare(videos, tmp_path / "large", short_side=480)
    assert {(r["height"], r["width"]) for r in load(tmp_path / "large")} == {(48, 64)}


def test_hr_partner_is_the_source(videos, tmp_path):
    prepare(videos, tmp_path / "out", hr_scale=3)
    records = load(tmp_path / "out")
    # 64 is no multiple of 3: 63 columns stay
    assert {(r["height"], r["width"], r["hr_scale"]) for r in records} == {(16, 21, 3)}
    decoded = [frame.image for frame in iter_frames(videos / "sub" / "plain.mkv")]
    store = FrameStore()
    for low, high, image in zip(records[3]["frames"], records[3]["hr_frames"], decoded):
        assert np.array_equal(store.read(high), image[:, :63])
        blocks = image[:, :63].reshape(16, 3, 21, 3, 3).mean(axis=(1, 3))
        assert np.abs(store.read(low) - blocks).max() <= 0.5


def test_second_run_does_what_is_missing(videos, tmp_path, monkeypatch):
    first = prepare(videos, tmp_path / "out")
    (tmp_path / "out" / "shots" / "cut_mp4_001.npy").unlink()
    (tmp_path / "out" / "shots" / "left.npy.part").write_bytes(b"from a killed run")
    done = []
    real = video_packing.prepare_video

    def counting(video, *args):
        done.append(video.name)
        return real(video, *args)

    monkeypatch.setattr(video_packing, "prepare_video", counting)
    second = prepare(videos, tmp_path / "out")
    assert sorted(done) == ["bad.mp4", "cut.mp4"]  # a corrupt one is tried again
    assert json.dumps(second) == json.dumps(first)
    assert not list(tmp_path.rglob("*.part"))
    done.clear()
    prepare(videos, tmp_path / "out", short_side=24)  # other options: all anew
    assert len(done) == 3


def test_processes_give_what_one_gives(videos, tmp_path):
    one = prepare(videos, tmp_path / "a" / "x")
    two = prepare_video_folder(videos, tmp_path / "b" / "x", num_workers=2, show_progress=False)
    assert json.dumps(one) == json.dumps(two)


def test_non_files_are_skipped_and_named(videos, tmp_path):
    (videos / "gone.mp4").symlink_to("nowhere.mp4")
    (videos / "loop.mp4").symlink_to("loop.mp4")
    (videos / "up").symlink_to("..")
    (videos / "folder.mp4").mkdir()
    (videos / "empty.mp4").touch()
    os.mkfifo(videos / "pipe.mp4")  # nobody writes to it: to open it is to wait
    index = prepare(videos, tmp_path / "out")
    corrupt = {item["file"].rpartition("/")[2]: item["reason"] for item in index["corrupt_videos"]}
    assert corrupt.keys() == {"bad.mp4", "empty.mp4", "gone.mp4", "loop.mp4", "pipe.mp4"}
    assert all("is not a file" in corrupt[f"{name}.mp4"] for name in ("gone", "loop", "pipe"))
    assert index["counts"]["shots"] == 3


def test_names_do_not_share_a_file(tmp_path, write_video, moving_frames):
    names = ["a.b.mp4", "a_b.mp4", "x/y.mp4", "x__y.mp4", "line\nbreak.mp4"]
    names += ["/".join("d" * 90 for _ in range(3)) + ".mp4"]
    for seed, name in enumerate(names):
        write_video(tmp_path / "source" / name, moving_frames(5, seed=seed))
    raw = os.fsencode(tmp_path / "source") + b"/latin-\xe9.mp4"  # a name that is no UTF-8
    os.rename(write_video(tmp_path / "late.mp4", moving_frames(5, seed=9)), raw)
    index = prepare(tmp_path / "source", tmp_path / "out")
    assert index["counts"]["shots"] == len({shot["file"] for shot in index["shots"]}) == 7
    again = prepare(tmp_path / "source", tmp_path / "out")
    assert json.dumps(again) == json.dumps(index)
    firsts = {FrameStore().read(record["frames"][0]).tobytes() for record in load(tmp_path / "out")}
    assert len(firsts) == 7


def test_two_runs_do_not_prepare_one_folder(videos, tmp_path):
    refused = pytest.raises(OSError, match="Another run is preparing")
    with locked_by_another(tmp_path / "out"), refused:
        prepare(videos, tmp_path / "out")
    assert prepare(videos, tmp_path / "out")["counts"]["shots"] == 3


def test_no_space_is_said_before_the_work(videos, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 50_000})
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"are needed, 0\.0 GB are free"):
        prepare(videos, tmp_path / "out")
    assert not list((tmp_path / "out" / "shots").iterdir())
    prepare(videos, tmp_path / "indexed", pack=False)  # needs none


def test_nothing_usable_is_an_error(tmp_path, write_video):
    with pytest.raises(FileNotFoundError, match=r"absent is not there\. Give a folder"):
        prepare(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "a.mp4").touch()
    with pytest.raises(FileNotFoundError, match=r"a\.mp4 is a file, not a folder\. Give a folder"):
        prepare(tmp_path / "a.mp4", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="No video files"):
        prepare(tmp_path / "empty", tmp_path / "out")
    write_video(tmp_path / "still" / "a.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 9)
    with pytest.raises(RuntimeError, match="three usable frames in a row"):
        prepare(tmp_path / "still", tmp_path / "out")


def test_too_small_video_is_skipped(videos, tmp_path):
    with pytest.raises(RuntimeError, match="smaller than the factor 100"):
        prepare(videos, tmp_path / "out", hr_scale=100)


@pytest.mark.parametrize(
    "options", [{"hr_scale": 1}, {"short_side": 3}, {"pack": False, "hr_scale": 2}]
)
def test_impossible_options(options):
    with pytest.raises(ValueError, match=r"must be|remove"):
        PackOptions(**options)


def test_box_average_by_hand():
    image = np.array([[[0], [4], [9]], [[8], [0], [9]], [[7], [7], [7]]], np.uint8).repeat(3, 2)
    cropped = crop_to_multiple(image, 2)  # the centre, rounded to the top left
    assert cropped.shape == (2, 2, 3)
    assert box_average(cropped, 2).tolist() == [[[3, 3, 3]]]  # (0 + 4 + 8 + 0) / 4


def test_wrong_shot_is_not_left_behind(tmp_path):
    frame = np.zeros((4, 4, 3), np.uint8)
    for frames in ([frame], [frame, np.zeros((5, 4, 3), np.uint8), frame], []):
        with pytest.raises(CorruptFrameError):
            write_shot(tmp_path / "shot.npy", iter(frames), 3)
        assert not (tmp_path / "shot.npy").exists()


def test_command(videos, tmp_path, run_command):
    options = ("--name", "mine", "--root", tmp_path, "--workers", 1)
    code, text = run_command("prepare_videos.py", videos, *options)
    assert code == 0
    assert "corrupt videos: 1, " in text and "bad.mp4" in text
    assert "Dataset videos_mine is ready" in text
    assert len(load(tmp_path / "videos" / "mine")) == 4
    code, text = run_command("prepare_videos.py", videos, "--name", "../../mine")
    assert code == 2 and "not a plain name" in text
    code, text = run_command("prepare_videos.py", tmp_path / "absent", *options)
    assert code == 2 and "absent is not there" in text


def test_a_taken_name_is_refused(videos, tmp_path, run_command, write_video, moving_frames):
    options = ("--name", "mine", "--root", tmp_path, "--workers", 1)
    assert run_command("prepare_videos.py", videos, *options)[0] == 0
    out = tmp_path / "videos" / "mine"
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    other = tmp_path / "other"
    write_video(other / "only.mp4", moving_frames(5, seed=8))
    for source, size in ((other, ()), (videos, ("--short-side", 24))):
        code, text = run_command("prepare_videos.py", source, *options, *size)
        assert code == 2 and "use --overwrite to replace it" in text and text.count("\n") == 1
        assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert run_command("prepare_videos.py", videos, *options)[0] == 0  # the same again
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    code, _ = run_command("prepare_videos.py", other, *options, "--overwrite")
    assert code == 0 and len(load(out)) == 1
    assert len(list(out.rglob("*.npy"))) == 1  # nothing of the old set is left


def test_the_old_set_lives_until_the_new_one(videos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare(videos, out)
    expected = [FrameStore().read(ref) for r in load(out) for ref in r["frames"]]
    small = PackOptions(short_side=24)
    calls = []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 3:  # after bad.mp4 and cut.mp4
            raise KeyboardInterrupt
        return prepare_video(*arguments)

    monkeypatch.setattr(video_packing, "prepare_video", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_video_folder(videos, out, small, show_progress=False)
    found = [FrameStore().read(ref) for r in load(out) for ref in r["frames"]]
    assert all(map(np.array_equal, found, expected)) and len(found) == len(expected)
    with pytest.raises(FileExistsError, match="--overwrite"):
        prepare_video_folder(videos, out, small, overwrite=False, show_progress=False)
    prepare_video_folder(videos, out, small, show_progress=False)
    again = [arguments[0].name for arguments in calls[3:]]
    assert again == ["bad.mp4", "plain.mkv"]  # what was finished is not made again
    assert {min(r["height"], r["width"]) for r in load(out)} == {24}
    # And back again, while the set of a folder of its own is the old one.
    prepare(videos, out)
    found = [FrameStore().read(ref) for r in load(out) for ref in r["frames"]]
    assert all(map(np.array_equal, found, expected)) and len(found) == len(expected)
    assert len(list(out.glob("set_*"))) == 1 and not (out / "shots").exists()


def test_an_unfinished_set_is_not_mixed(videos, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(video_packing, "make_index", fail)
    with pytest.raises(OSError, match="disk full"):
        prepare(videos, out)
    monkeypatch.undo()
    small = PackOptions(short_side=24)
    with pytest.raises(FileExistsError, match="an unfinished set made from source"):
        prepare_video_folder(videos, out, small, overwrite=False, show_progress=False)
    prepare_video_folder(videos, out, small, show_progress=False)
    assert {min(r["height"], r["width"]) for r in load(out)} == {24}
    assert len(list(out.rglob("*.npy"))) == 3


def test_a_shot_whose_video_is_gone_goes(tmp_path, write_video, moving_frames):
    source = tmp_path / "source"
    for name in ("a", "b"):
        write_video(source / f"{name}.mp4", moving_frames(5, seed=ord(name)))
    prepare(source, tmp_path / "out")
    (source / "b.mp4").unlink()
    prepare(source, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out" / "shots").iterdir()] == ["a_mp4_000.npy"]
