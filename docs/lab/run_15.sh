#!/usr/bin/env bash
# Run 15 of the lab diary: `fast` or `fine` fine-tuned against the ROI discriminator with PSNR as the
# loss and half of its gradient, beside run 14 continued with other clips (SEED 15).
#
#   docs/lab/run_15.sh fast|fine ITERATIONS OUT [KEY VALUE ...]     # environment: as run_11.sh
#
# DETECTRON2_DATASETS also has videos_hr_full, as run 14's.
set -euo pipefail
cd "$(dirname "$0")/../.."
config=$1 iterations=$2 out=$3
shift 3
pairs="'videos_hr_pairs','videos_hr_pairs','videos_hr_pairs'"
clips="${CLIPS:-'videos_train','videos_train2','videos_train2','videos_train2','videos_hr_full'}"
docs/lab/run_11.sh "$config" "zoo:$config" "$iterations" "$out" SEED 15 \
    DATASETS.TRAIN "($clips,$pairs)" MODEL.LOSS_WEIGHTS.PSNR 6.0 MODEL.LOSS_WEIGHTS.GAN_G_SHARE 0.5 "$@"
