"""A picture of all scene cuts of a video: the frame before and the frame after each, and when."""

import cv2
import numpy as np

from zoomin_d2.video.time.cut_list import Cut

WIDTH = 200  # of a frame, pixels
COLUMNS = 4  # cuts in a row
MOST = 400  # cuts in a sheet
BACKGROUND = 64  # gray, on which black frames show
_TEXT, _GAP = 18, 6


class ContactSheet:
    """Collects pairs of frames; those beyond MOST are left out, and the sheet says so."""

    def __init__(self) -> None:
        self._cells: list[np.ndarray] = []
        self._left_out = 0

    def add(self, cut: Cut, before: np.ndarray, after: np.ndarray) -> None:
        """A cut and the two frames around it, (H, W, 3) RGB, uint8 or uint16."""
        if len(self._cells) == MOST:
            self._left_out += 1
            return
        pair = np.hstack([_small(before), _small(after)])
        line = f"{_clock(cut.time or 0.0)}  frame {cut.frame}  {cut.kind}"
        if cut.frames > 1:
            line += f" ({cut.frames} frames)"
        self._cells.append(np.vstack([_text(line, pair.shape[1]), pair]))

    def picture(self) -> np.ndarray:
        """(H, W, 3) RGB uint8; there must be a cut."""
        columns = min(COLUMNS, len(self._cells))
        height = max(cell.shape[0] for cell in self._cells) + _GAP
        width = 2 * WIDTH + _GAP
        rows = -(-len(self._cells) // columns)
        sheet = np.full((rows * height, columns * width, 3), BACKGROUND, np.uint8)
        for i, cell in enumerate(self._cells):
            top, left = i // columns * height, i % columns * width
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        if self._left_out:
            line = _text(f"and {self._left_out} more, in the list", sheet.shape[1])
            sheet = np.vstack([sheet, line])
        return sheet


def _small(image: np.ndarray) -> np.ndarray:
    height = max(1, round(image.shape[0] * WIDTH / image.shape[1]))
    small = np.asarray(cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA))
    return (small // 257).astype(np.uint8) if image.dtype == np.uint16 else small


def _text(line: str, width: int) -> np.ndarray:
    strip = np.full((_TEXT, width, 3), BACKGROUND, np.uint8)
    place, font = (4, _TEXT - 5), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(strip, line, place, font, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return strip


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:06.3f}"
