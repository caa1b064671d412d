"""What the model gets, with several threads and devices."""

from fractions import Fraction

import numpy as np
import torch

from zoomin_d2.video.read.color import path_for_images
from zoomin_d2.video.read.source import SourceFrame
from zoomin_d2.video.time import model_calls
from zoomin_d2.video.time.model_calls import Model, Shown
from zoomin_d2.video.time.pixels import Pixels
from zoomin_d2.video.time.protection import Protection
from zoomin_d2.video.time.scene_cuts import MarkedFrame


def average(frame_1, frame_2, ts):
    return [(1 - t) * frame_1 + t * frame_2 for t in ts]


class Taken(Shown):
    """A frame whose copy on the device is cleared by another thread once it has been seen."""

    @property
    def tensor(self):
        found, self._tensor = self._tensor, None
        return found

    @tensor.setter
    def tensor(self, value):
        self._tensor = value


def shown(index, level, kind=Shown):
    frame = SourceFrame(index, Fraction(index), Fraction(1), None)
    pixels = Pixels(np.full((6, 8, 3), level, np.uint8))
    marked = MarkedFrame(frame, cut_before=False, repeats=False, still=False)
    return kind(marked, pixels, [frame.time], (frame.time, index), Fraction(1))


def model_of(interpolate, keep_still=False):
    return Model(interpolate, Protection(keep_still, "keep", None), path_for_images(6, False))


def test_another_thread_takes_the_copy_away():
    a, b = shown(0, 10), shown(1, 30, Taken)
    b.tensor = torch.full((1, 3, 6, 8), 50 / 255)
    (made,) = model_of(average).begin(a, b, [0.5])()
    assert np.unique(made.pixels.image).tolist() == [30]


def test_the_pair_follows_the_made_frames(monkeypatch):
    """Of several devices, one took the pair from the CPU; a plain copy would wait for it."""
    places = []

    class Recorder:
        def upload(self, frame, device):
            places.append(device.type)
            return frame.to(device)

        def download(self, frames):
            return lambda: frames

    def elsewhere(frame_1, frame_2, ts):
        return [frame_1.to("meta") for _ in ts]

    monkeypatch.setattr(model_calls, "Transfer", Recorder)
    model_of(elsewhere, keep_still=True).begin(shown(0, 10), shown(1, 30), [0.5])
    assert places == ["cpu", "cpu", "meta", "meta"]
