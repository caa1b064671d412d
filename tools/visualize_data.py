#!/usr/bin/env python3
"""Show what the mapper produces: crops, flips and high-resolution partners, as training gets them.

tools/visualize_data.py --config-file configs/roigan.yaml --output output/data --num 6
tools/visualize_data.py --config-file configs/roigan.yaml DATASETS.TRAIN "('videos_mine',)"
"""

from itertools import chain, islice

from detectron2.utils.logger import setup_logger

from zoomin_d2.cli.tool_arguments import ToolParser, at_least
from zoomin_d2.data import build_interpolation_train_loader, resolve_datasets
from zoomin_d2.engine import setup_cfg
from zoomin_d2.user_errors import one_line_errors
from zoomin_d2.visualization import save_picture, tile_pictures, to_picture


def draw_sample(sample: dict):
    """(H, W, 3) picture of one training sample: its frames and high-resolution partner."""
    tiles = [(name, to_picture(sample[name])) for name in ("frame_1", "frame_t", "frame_2")]
    tiles[1] = (f"frame_t, t = {sample['t']:.3f}", tiles[1][1])
    if "frame_t_hr" in sample:
        partner = to_picture(sample["frame_t_hr"])
        tiles.append((f"frame_t_hr, {sample['hr_scale']} x as large", partner))
    return tile_pictures(tiles, columns=len(tiles))


def main(argv: list[str] | None = None) -> int:
    parser = ToolParser(__doc__)
    parser.add_argument("--num", type=at_least(1), default=6, help="number of samples to draw")
    parser.add_output("output/data")
    parser.add_config()
    args = parser.parse_args(argv)
    setup_logger(name="zoomin_d2")
    with one_line_errors(args.debug):
        cfg = setup_cfg(args.config_file, args.opts)
        cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = 1, 0
        resolve_datasets(cfg)  # logs which data is used and why
        samples = chain.from_iterable(build_interpolation_train_loader(cfg))
        args.output.mkdir(parents=True, exist_ok=True)
        for number, sample in enumerate(islice(samples, args.num)):
            path = args.output / f"{number:03d}_{sample['file_name'].replace('/', '_')}.png"
            save_picture(path, draw_sample(sample))
            print(path)


if __name__ == "__main__":
    main()
