#!/usr/bin/env bash
# Run 17 of the lab diary: what the ROI discriminator adds. Five recipes fine-tune the same weights
# for the same crops, beside each other on one GPU; they differ in the loss. Only roigan's also takes
# real patches of 1080 rows. gan_mild is gan with half of its share of the gradient.
#
#   docs/lab/run_17.sh START SEED ITERATIONS OUT [KEY VALUE ...]    # environment: as run_11.sh
#
# START: weights of `fast`. Writes OUT/{baseline,perceptual,gan,gan_mild,roigan}_SEED/ema.safetensors.
# DETECTRON2_DATASETS has videos_hr of 540 rows, and a third of train's clips as videos_train_third.
set -uo pipefail
cd "$(dirname "$0")/../.."
start=$1 seed=$2 iterations=$3 out=$4
shift 4
mkdir -p "$out"
recipe() { # NAME KEY VALUE ...
    CLIPS="'videos_train_third','videos_train2','videos_train2','videos_train2','videos_hr'" \
        docs/lab/run_15.sh fast "$iterations" "$out/$1_$seed" MODEL.WEIGHTS "$start" SEED "$seed" \
        SOLVER.WARMUP_ITERS 100 SOLVER.EMA.DECAY 0.997 SOLVER.DISCRIMINATOR.LR_FACTOR 4.0 \
        DATALOADER.NUM_WORKERS 2 DATASETS.TEST "()" "${@:2}" >"$out/$1_$seed.log" 2>&1
    local status=$?
    echo "$1_$seed ended with $status"
    return $status
}
recipe baseline MODEL.DISCRIMINATOR.NAME none INPUT.HIGH_RESOLUTION False \
    MODEL.PERCEPTUAL.FEATURES "[]" "$@" &
pids=$!
recipe perceptual MODEL.DISCRIMINATOR.NAME none INPUT.HIGH_RESOLUTION False \
    MODEL.LOSS_WEIGHTS.PERCEPTUAL 10.0 "$@" &
pids+=" $!"
recipe gan MODEL.DISCRIMINATOR.NAME image INPUT.HIGH_RESOLUTION False \
    MODEL.LOSS_WEIGHTS.PERCEPTUAL 10.0 "$@" &
pids+=" $!"
recipe gan_mild MODEL.DISCRIMINATOR.NAME image INPUT.HIGH_RESOLUTION False \
    MODEL.LOSS_WEIGHTS.PERCEPTUAL 10.0 MODEL.LOSS_WEIGHTS.GAN_G_SHARE 0.25 "$@" &
pids+=" $!"
recipe roigan MODEL.LOSS_WEIGHTS.PERCEPTUAL 10.0 "$@" &
pids+=" $!"
failed=0
for pid in $pids; do wait "$pid" || failed=1; done
exit $failed
