#!/usr/bin/env bash
# Run 14 of the lab diary: `fast` and `fine` for longer, on all open footage but nine held-out clips.
#
#   docs/lab/run_14.sh fast|fine ITERATIONS OUT [KEY VALUE ...]     # environment: as run_10.sh
#
# DETECTRON2_DATASETS also has videos_hr_full, the clips of hr and hr2 at their 1080 rows.
set -euo pipefail
cd "$(dirname "$0")/../.."
config=$1 iterations=$2 out=$3
shift 3
export GPUS="${GPUS:-2}"
export CLIPS="${CLIPS:-'videos_train','videos_train2','videos_train2','videos_train2','videos_hr','videos_hr_full','videos_hr_full'}"
docs/lab/run_10.sh "$config" "zoo:$config" "$iterations" "$out" SEED 14 SOLVER.IMS_PER_BATCH "$((64 * GPUS))" \
    MODEL.LOSS_WEIGHTS.PSNR 6.0 "$@"
