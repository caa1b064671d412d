#!/usr/bin/env bash
# A few minutes on a rented GPU machine: data, tests and times beside each other, then trainings.
#
#   docs/lab/rented_machine.sh SOURCE UNTIL OUT "GPU SECONDS COMMAND ..." ...
#
# SOURCE (docs/lab/pack.py makes it) holds the clips, in train/, train2/ (without those of motion/), hr/ (1080 rows) and motion/
# (held out); DETECTRON2_DATASETS gets the sets made of them, and may have triplets/dev. UNTIL is a
# time in seconds (date +%s). Each training is one argument: its GPU, its seconds per iteration, and
# a command in which ITERATIONS stands for as many as fit. PYTHON picks the interpreter:
#
#   docs/lab/rented_machine.sh clips $(($(date +%s) + 1500)) output \
#       "0 0.06 env GPUS=1 docs/lab/run_14.sh fine ITERATIONS output/fine SEED 17"
#
# SOURCE and OUT are absolute, or relative to the repository. Logs are written into OUT, one each; a
# training whose OUT is emptied between two commands is lost. What fails does not stop the rest.
set -uo pipefail
cd "$(dirname "$0")/../.."
source=$1 until=$2 out=$3
shift 3
python="${PYTHON:-python}" count=0 spare=45 # seconds at the end, for exporting the weights
mkdir -p "$out"
"$python" -c "import zoomin_d2.engine, zoomin_d2.data.video_packing" || exit 1 # else each log says it

logged() { # NAME COMMAND ...: runs it, and says how it ended
    local begun=$SECONDS
    "${@:2}" >"$out/$1.log" 2>&1
    echo "$(date +%T) $1 ended with $? after $((SECONDS - begun)) s"
}

prepare() { # FOLDER NAME OPTION ...
    [ -d "$source/$1" ] || return 0
    logged "data_$2" "$python" datasets/prepare_videos.py "$source/$1" --name "$2" "${@:3}" \
        --workers "$(($(nproc) / 2 + 1))"
}

check() { # the kernels, while the processor prepares the data
    logged tests "$python" -m pytest -q -p no:cacheprovider tests/layers tests/inference tests/test_transfer.py
    logged times "$python" tools/benchmark.py frame --model fast fine fast-roigan --mode triton \
        --dtype float16 --calls 60 --budget 90 --output "$out/benchmark"
}

check &
prepare motion motion_val --short-side 540 &
prepare train2 train2 --short-side 540 &
prepare hr hr --short-side 540 &
prepare hr hr_full &
prepare hr hr_pairs --hr-scale 4 &
prepare train train --short-side 540 &
wait
for training in "$@"; do
    read -r gpu seconds command <<<"$training"
    iterations=$("$python" -c "print(int(($until - $spare - $(date +%s)) / $seconds))")
    [ "$iterations" -gt 0 ] || { echo "no time is left for $command"; continue; }
    echo "$(date +%T) GPU $gpu: $iterations iterations of $command"
    count=$((count + 1))
    CUDA_VISIBLE_DEVICES=$gpu logged "training_$count" ${command//ITERATIONS/$iterations} &
done
wait
