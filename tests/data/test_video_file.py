import numpy as np
import pytest

from zoomin_d2.data import video_file
from zoomin_d2.data.datasets.sample_clips import find_sample_videos
from zoomin_d2.data.video_file import VideoFile, iter_frames, probe_video
from zoomin_d2.frames import CorruptFrameError

BT709, BT601 = 1, 5
RED = np.array([200, 30, 40])


def grey_frames(num_frames: int) -> list[np.ndarray]:
    return [np.full((48, 64, 3), 10 * i, np.uint8) for i in range(num_frames)]


def level(image: np.ndarray) -> int:
    """The index of a frame of `grey_frames`."""
    assert np.ptp(image.astype(int)) <= 4
    return round(float(image.mean()) / 10)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.avi", "mpeg4"),
        ("a.ts", "libx264"),  # no index in the file: seeking lands behind the keyframe
        ("a.mpg", "mpeg2video"),
    ],
)
def test_frames_by_index_in_any_order(tmp_path, write_video, name, codec):
    video = VideoFile(write_video(tmp_path / name, grey_frames(25), codec=codec))
    assert len(video) == 25
    for index in [0, 1, 2, 24, 7, 8, 6, 12, 11, 23, 24, 0]:
        assert level(video.read(index)) == index
    video.close()


def test_no_such_frame(tmp_path, write_video):
    video = VideoFile(write_video(tmp_path / "a.mp4", grey_frames(5)))
    with pytest.raises(CorruptFrameError, match="no frame 5, only 5"):
        video.read(5)


def test_forward_reading_decodes_once(tmp_path, write_video, monkeypatch):
    video = VideoFile(write_video(tmp_path / "a.mp4", grey_frames(25)))
    seeks = []
    container = video._container

    class Counting:
        def seek(self, *args, **kwargs):
            seeks.append(args)
            return container.seek(*args, **kwargs)

        def decode(self, *args):
            return container.decode(*args)

    monkeypatch.setattr(video, "_container", Counting())
    for index in range(6, 12):  # one group of pictures
        assert level(video.read(index)) == index
    assert len(seeks) == 1


def test_iter_frames_in_order_with_times(tmp_path, write_video):
    times = [0, 1, 2, 5, 6]  # in 1/25 s
    path = write_video(tmp_path / "a.mp4", grey_frames(5), times=times)
    frames = list(iter_frames(path))
    assert [level(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time for frame in frames] == pytest.approx([t / 25 for t in times])


def test_probe(tmp_path, write_video):
    info = probe_video(write_video(tmp_path / "a.mp4", grey_frames(12), fps=50))
    assert info == (48, 64, pytest.approx(50), 12)
    info = probe_video(write_video(tmp_path / "a.mkv", grey_frames(12), fps=50))
    assert info.num_frames == pytest.approx(12, abs=1)  # mkv: from the duration


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_tagged_colour_comes_back(tmp_path, write_video, matrix, full_range):
    frames = [np.tile(RED.astype(np.uint8), (48, 64, 1))] * 3
    path = write_video(tmp_path / "a.mp4", frames, colorspace=matrix, full_range=full_range)
    image = next(iter_frames(path)).image
    assert np.abs(image.astype(int) - RED).max() <= 2


@pytest.mark.parametrize(("height", "matrix"), [(480, BT601), (720, BT709)])
def test_untagged_colour_is_a_matter_of_size(height, matrix):
    # RED in limited range, worked out by hand: Y = 16 + 219 * (kr R + kg G + kb B) / 255,
    # Cb = 128 + 224 * (B - Y') / (2 (1 - kb)) / 255, Cr alike
    kr, kb = {BT601: (0.299, 0.114), BT709: (0.2126, 0.0722)}[matrix]
    luma = kr * RED[0] + (1 - kr - kb) * RED[1] + kb * RED[2]
    planes = [
        16 + 219 * luma / 255,
        128 + 224 * (RED[2] - luma) / (2 * (1 - kb)) / 255,
        128 + 224 * (RED[0] - luma) / (2 * (1 - kr)) / 255,
    ]
    array = np.stack([np.full((height, 32), round(float(p)), np.uint8) for p in planes])
    frame = video_file.av.VideoFrame.from_ndarray(array, format="yuv444p")
    image = video_file._to_rgb("a.mp4", frame)
    assert np.abs(image.astype(int) - RED).max() <= 2


def test_rotation_flag_is_applied(tmp_path, write_video):
    frames = [np.zeros((48, 64, 3), np.uint8) for _ in range(8)]
    for frame in frames:
        frame[:16, :16] = 250  # top left
    path = write_video(tmp_path / "a.mp4", frames)
    data = bytearray(path.read_bytes())
    # the track header's matrix of a phone held upright: turn 90 degrees clockwise to display
    unit, zero = (0x10000).to_bytes(4, "big"), bytes(4)
    upright = unit + zero * 3 + unit
    turned = zero + unit + zero + (-0x10000).to_bytes(4, "big", signed=True) + zero
    place = data.index(upright, data.index(b"tkhd"))
    data[place : place + len(upright)] = turned
    path.write_bytes(data)

    for image in (next(iter_frames(path)).image, VideoFile(path).read(5)):
        assert image.shape == (64, 48, 3)
        corners = image[[4, 4, -4, -4], [4, -4, 4, -4], 0]
        assert (corners > 200).tolist() == [False, True, False, False]  # now top right
    assert probe_video(path)[:2] == (64, 48)


def test_thumbnails_keep_the_shape(tmp_path, write_video):
    path = write_video(tmp_path / "a.mp4", grey_frames(3))
    image = next(iter_frames(path, thumbnail_width=32)).image
    assert image.shape == (24, 32, 3)


def test_unreadable_files_are_named(tmp_path, write_video):
    path = write_video(tmp_path / "a.mp4", grey_frames(25))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:-400])  # the index of an mp4 is at its end
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    for bad in (cut, text, tmp_path / "absent.mp4"):
        with pytest.raises(CorruptFrameError, match="cannot be opened") as error:
            list(iter_frames(bad))
        assert error.value.file_name == str(bad)


def test_audio_only_file_is_named(tmp_path):
    path = tmp_path / "sound.mp4"
    with video_file.av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = video_file.av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(CorruptFrameError, match="has no video stream"):
        probe_video(path)


def test_damage_in_the_middle_is_found(tmp_path, write_video):
    rng = np.random.default_rng(0)  # noise: large packets, so the damage is inside of them
    frames = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(40)]
    path = write_video(tmp_path / "a.mkv", frames)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    with pytest.raises(CorruptFrameError):
        list(iter_frames(path))
    video, readable = VideoFile(path), 0
    for index in range(len(video)):
        try:
            image = video.read(index)
        except CorruptFrameError:
            continue
        readable += 1  # what is given is the frame that was asked for, in order or not
        assert image.shape == (48, 64, 3)
    assert 0 < readable < 40


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_damage_that_threads_do_not_tell(tmp_path, share):
    """Frame threads tell of the first place in 4 of 5 readings, slice threads never of the second
    (tests/stress/check_damage_reports.py)."""
    data = bytearray(find_sample_videos(tmp_path)[-1].read_bytes())
    first = int(share * len(data))
    data[first : first + 20] = b"\xff" * 20
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    for _ in range(15):
        with pytest.raises(CorruptFrameError):
            list(iter_frames(path))


def test_unknown_colors_are_named(tmp_path, write_video):
    path = write_video(tmp_path / "a.mp4", grey_frames(3))
    frame = next(video_file.av.open(str(path)).decode(video=0))
    frame.colorspace = 14
    with pytest.raises(CorruptFrameError, match=r"a\.mp4.*ICtCp"):
        video_file._to_rgb(path, frame)
