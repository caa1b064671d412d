#!/usr/bin/env bash
# Figures 1, 3, 4, 5, and 7 of the paper, from the generators of run 12 (docs/reproduction.md).
#
#   docs/lab/figures_12.sh RUNS OUT       # RUNS/{baseline,gan,roigan,roigan-share}.1/generator.safetensors
#
# On the sample clips (`make demo` prepares them), which run 12 was not trained on. PYTHON picks the interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=$1 out=$2
python="${PYTHON:-python}"
names=(baseline gan roigan roigan-share)
mkdir -p "$out"
for name in "${names[@]}"; do
    cp "$runs/$name.1/generator.safetensors" "$out/$name.safetensors" # the name of a file is its method's
    "$python" tools/train_net.py --config-file configs/paper/baseline.yaml --eval-only \
        MODEL.WEIGHTS "$out/$name.safetensors" OUTPUT_DIR "$out/$name" \
        DATASETS.TEST "('sample_clips_train',)" TEST.NUM_SAVED 100
done
figures=("${names[@]/#/$out/}")
"$python" docs/tools/make_figures.py rois "${figures[@]}" --num 4 --output "$out/rois.webp"
"$python" docs/tools/make_figures.py frames "${figures[@]}" --num 2 --output "$out/frames.webp"
"$python" docs/tools/make_figures.py failures "${figures[@]}" --num 3 --output "$out/failures.webp"
"$python" tools/benchmark.py frame --model fast fine "$out/baseline.safetensors" "$out/roigan-share.safetensors" \
    --mode eager --dtype float32 --size 640x272 --dataset sample_clips_train --output "$out/benchmark"
