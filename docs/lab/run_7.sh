#!/usr/bin/env bash
# Run 7 of docs/lab/experiments.md: longer trainings, then the three recipes from what they gave.
#
#   export DETECTRON2_DATASETS=...    # with videos_train and videos_hr, see docs/lab/experiments.md
#   docs/lab/run_7.sh train fast 18 out/fast        # minutes on one GPU, from zoo:fast
#   docs/lab/run_7.sh train paper 8 out/paper       # CUDA_VISIBLE_DEVICES picks the GPU
#   docs/lab/run_7.sh recipes fast out/fast/ema.safetensors out/recipes_fast [RECIPE ...]
#
# A RECIPE is config:lambda:seed, or config:lambda:seed:lr for real patches at the input's size.
# PYTHON names the interpreter, MODES what `train` chooses from, JOBS how many recipes run at once.
# For a rehearsal on a CPU: EXTRA ("KEY VALUE" pairs for every run), TRIAL (iterations).
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python}
# shellcheck disable=SC2206  # pairs without spaces in them
extra=(${EXTRA:-})
clips="'videos_train','videos_hr','videos_hr','videos_hr','videos_hr'"
common=(DATASETS.TRAIN "($clips)" DATASETS.TEST "('triplets_dev',)" TEST.EVAL_PERIOD 0
    TEST.NUM_SAVED 0 VIS_PERIOD 0 INPUT.SCALE_RANGE "[0.6,1.0]" MODEL.LOSS_WEIGHTS.PSNR 0.0
    MODEL.GENERATOR.CHANNELS_LAST True CUDNN_BENCHMARK True)

train() { # GENERATOR MINUTES OUT
    local generator=$1 minutes=$2 out=$3 config options
    case $generator in
    fast) config=configs/fast/baseline.yaml options=(SOLVER.IMS_PER_BATCH 64 SOLVER.BASE_LR 7e-4) ;;
    paper) config=configs/baseline.yaml options=(SOLVER.IMS_PER_BATCH 32 SOLVER.BASE_LR 4e-4) ;;
    *) echo "no such generator: $generator" >&2 && exit 2 ;;
    esac
    options+=(MODEL.WEIGHTS "zoo:$generator" SEED 2 "${common[@]}" "${extra[@]}")
    # shellcheck disable=SC2086
    "$PYTHON" tools/benchmark.py training --config-file "$config" --mode ${MODES:-graph eager} \
        --iterations "${TRIAL:-90}" --minutes "$minutes" --output "$out/trial" "${options[@]}"
    local compiled graph iterations
    read -r compiled graph iterations < <("$PYTHON" -c "
import json, sys
best = min(json.load(open(sys.argv[1])), key=lambda x: x['s/iteration'])
flags = ('compiled' in best['mode'], 'graph' in best['mode'])
print(*flags, int(60 * float(sys.argv[2]) / best['s/iteration']))
" "$out/trial/benchmark_training.json" "$minutes")
    "$PYTHON" tools/train_net.py --config-file "$config" "${options[@]}" SOLVER.COMPILE "$compiled" \
        SOLVER.CUDA_GRAPH "$graph" SOLVER.MAX_ITER "$iterations" OUTPUT_DIR "$out"
    "$PYTHON" tools/export_model.py "$out/model_final.pth" --output "$out/ema.safetensors" --dtype float32
}

recipe() { # CONFIG:LAMBDA:SEED[:lr] FOLDER OUT KEY VALUE ...
    local config weight seed resolution name="${1//:/_}" folder=$2 out=$3
    IFS=: read -r config weight seed resolution <<<"$1"
    shift 3
    [ "$resolution" = lr ] && set -- "$@" INPUT.HIGH_RESOLUTION False
    "$PYTHON" tools/train_net.py --config-file "$folder/$config.yaml" "$@" SEED "$seed" \
        MODEL.LOSS_WEIGHTS.GAN_G "$weight" OUTPUT_DIR "$out/$name" >"$out/$name.log" 2>&1 &&
        "$PYTHON" tools/export_model.py "$out/$name/model_final.pth" --output "$out/$name.safetensors" \
            >>"$out/$name.log" 2>&1 || echo "$name failed, see $out/$name.log" >&2
}

recipes() { # GENERATOR WEIGHTS OUT [RECIPE ...]
    local generator=$1 weights=$2 out=$3 folder=configs each
    shift 3
    [ "$generator" = fast ] && folder=configs/fast
    [ $# = 0 ] && set -- {baseline:0.1,gan:10.0,roigan:3.0,roigan:10.0}:{1,2}
    local options=(MODEL.WEIGHTS "$weights" MODEL.PERCEPTUAL.FEATURES "['rpn']"
        SOLVER.IMS_PER_BATCH 16 SOLVER.MAX_ITER 700 SOLVER.BASE_LR 1e-4 SOLVER.WARMUP_ITERS 50
        SOLVER.DISCRIMINATOR.LR_FACTOR 4.0 SOLVER.EMA.DECAY 0.99 "${common[@]}")
    # On an H200 `paper` roigan met "misaligned address" with both of these on (run 5).
    [ "$generator" = paper ] && options+=(CUDNN_BENCHMARK False MODEL.GENERATOR.CHANNELS_LAST False)
    mkdir -p "$out"
    for each in "$@"; do
        while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-1}" ]; do wait -n || true; done
        recipe "$each" "$folder" "$out" "${options[@]}" "${extra[@]}" &
    done
    wait
}

case ${1:-} in
train | recipes) "$@" ;;
*) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
