#!/usr/bin/env bash
# Run 11 of the lab diary: `fast` or `fine` fine-tuned against the ROI discriminator, on one GPU.
#
#   export DETECTRON2_DATASETS=...       # videos_{train,train2} of 540 rows, videos_hr_pairs (--hr-scale 4)
#   docs/lab/run_11.sh CONFIG WEIGHTS ITERATIONS OUT [KEY VALUE ...]
#
# videos_hr_pairs are the 30 shots of hr and hr2. CUDA_VISIBLE_DEVICES picks the GPU, PYTHON the
# interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
config=$1 weights=$2 iterations=$3 out=$4
shift 4
pairs="'videos_hr_pairs','videos_hr_pairs','videos_hr_pairs'"
"${PYTHON:-python}" tools/train_net.py --config-file "configs/$config/roigan.yaml" \
    MODEL.WEIGHTS "$weights" OUTPUT_DIR "$out" SEED 11 VIS_PERIOD 0 TEST.EVAL_PERIOD 0 \
    DATASETS.TRAIN "('videos_train','videos_train2','videos_train2',$pairs)" \
    DATASETS.TEST "('triplets_dev',)" TEST.NUM_SAVED 0 INPUT.SCALE_RANGE "[0.5,1.0]" \
    DATALOADER.FRAMES_ON_DEVICE True DATALOADER.NUM_WORKERS 6 SOLVER.COMPILE True \
    MODEL.GENERATOR.CHANNELS_LAST True MODEL.LOSS_WEIGHTS.PSNR 0.0 \
    MODEL.LOSS_WEIGHTS.GAN_G_SHARE 0.15 MODEL.LOSS_WEIGHTS.PERCEPTUAL 1.0 SOLVER.WARMUP_ITERS 200 \
    SOLVER.CHECKPOINT_PERIOD 1000 SOLVER.EMA.DECAY 0.999 SOLVER.DISCRIMINATOR.LR_FACTOR 2.0 \
    SOLVER.MAX_ITER "$iterations" "$@"
"${PYTHON:-python}" tools/export_model.py "$out/model_final.pth" --output "$out/ema.safetensors" --dtype float32
