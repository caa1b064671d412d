#!/usr/bin/env bash
# Run 10 of the lab diary: `fast` and `fine` grown from the `fast` of run 9, on all open footage.
#
#   export DETECTRON2_DATASETS=...       # with videos_{train,train2,hr,hr2}, 540 rows each
#   docs/lab/run_10.sh CONFIG WEIGHTS ITERATIONS OUT [KEY VALUE ...]
#
# CUDA_VISIBLE_DEVICES and GPUS (how many of them) pick the GPUs, PYTHON the interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
config=$1 weights=$2 iterations=$3 out=$4
shift 4
clips="${CLIPS:-'videos_train','videos_train2','videos_hr','videos_hr2'}"
"${PYTHON:-python}" tools/train_net.py --config-file "configs/$config/baseline.yaml" \
    --num-gpus "${GPUS:-1}" MODEL.WEIGHTS "$weights" OUTPUT_DIR "$out" SEED 10 \
    DATASETS.TRAIN "($clips,)" DATASETS.TEST "()" TEST.EVAL_PERIOD 0 VIS_PERIOD 0 \
    INPUT.FRAME_SPACING "[1,2]" INPUT.SCALE_RANGE "[0.5,1.0]" INPUT.CROP_SIZE "[256,256]" \
    INPUT.SYNTHETIC_FRACTION 0.2 DATALOADER.FRAMES_ON_DEVICE True DATALOADER.NUM_WORKERS 6 \
    MODEL.GENERATOR.CHANNELS_LAST True CUDNN_BENCHMARK True SOLVER.COMPILE True \
    SOLVER.IMS_PER_BATCH 64 SOLVER.BASE_LR 5e-4 SOLVER.WARMUP_ITERS 300 \
    MODEL.LOSS_WEIGHTS.PSNR 0.0 SOLVER.MAX_ITER "$iterations" SOLVER.CHECKPOINT_PERIOD 4000 "$@"
"${PYTHON:-python}" tools/export_model.py "$out/model_final.pth" --output "$out/ema.safetensors" --dtype float32
