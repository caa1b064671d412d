#!/usr/bin/env bash
# Run 13 of the lab diary: a fifth level, at 1/32 of the size, for large motion.
#
#   docs/lab/run_13.sh fast|fine ITERATIONS OUT [KEY VALUE ...]     # environment: as run_10.sh
#
# The new level starts with no motion: the grown network computes what zoo:CONFIG does.
set -euo pipefail
cd "$(dirname "$0")/../.."
config=$1 iterations=$2 out=$3
shift 3
python="${PYTHON:-python}"
case $config in # as wide as 2.3 M and 3.0 M parameters allow
fast) width=32 linear="[1,1,0,0,0]" decoders="[32,64,96,128,$width]" ;;
fine) width=16 linear="[2,1,1,1,0]" decoders="[64,64,96,128,$width]" ;;
*) echo "CONFIG must be fast or fine, got $config" >&2 && exit 2 ;;
esac
fast=MODEL.GENERATOR.FAST
levels=("$fast.PYRAMID_CHANNELS" "[24,40,64,96,$width]" "$fast.DECODER_CHANNELS" "$decoders"
    "$fast.DECODER_BLOCKS" "[1,1,2,2,1]" "$fast.LINEAR_BLOCKS" "$linear" "$fast.CORRELATION_RADII" "[0,2,3,4,4]")
mkdir -p "$out"
"$python" docs/lab/grow_fast.py --config-file "configs/$config/baseline.yaml" \
    "zoo:$config" "$out/grown.safetensors" "${levels[@]}"
# Spacing of up to 3 frames for the motion, crops of 320 so that it stays inside.
docs/lab/run_10.sh "$config" "$out/grown.safetensors" "$iterations" "$out" "${levels[@]}" SEED 13 \
    INPUT.FRAME_SPACING "[1,3]" INPUT.CROP_SIZE "[320,320]" SOLVER.IMS_PER_BATCH 48 "$@"
