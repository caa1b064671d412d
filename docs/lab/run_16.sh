#!/usr/bin/env bash
# Run 16 of the lab diary: `fine` fine-tuned against the ROI discriminator on two cores of a CPU that
# multiplies bfloat16.
#
#   docs/lab/run_16.sh ITERATIONS OUT [KEY VALUE ...]      # environment: as run_15.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
iterations=$1 out=$2
shift 2
export CLIPS="'videos_train2','videos_train2'"
docs/lab/run_15.sh fine "$iterations" "$out" SEED 16 MODEL.DEVICE cpu MODEL.LOSS_WEIGHTS.PERCEPTUAL 10.0 \
    MODEL.PROPOSALS.NUM 8 INPUT.CROP_SIZE "[192,192]" SOLVER.IMS_PER_BATCH 8 SOLVER.BASE_LR 1e-4 \
    SOLVER.WARMUP_ITERS 50 SOLVER.EMA.DECAY 0.995 SOLVER.DISCRIMINATOR.LR_FACTOR 4.0 \
    SOLVER.CHECKPOINT_PERIOD 300 SOLVER.COMPILE False DATALOADER.FRAMES_ON_DEVICE False \
    DATALOADER.NUM_WORKERS 0 DATASETS.TEST "()" "$@"
