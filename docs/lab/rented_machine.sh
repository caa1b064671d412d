#!/usr/bin/env bash
# A few minutes on a rented GPU machine: data, tests, and times beside each other, then trainings.
#
#   docs/lab/rented_machine.sh SOURCE UNTIL OUT "GPUS SECONDS COMMAND ..." ...
#
# SOURCE (docs/lab/pack.py makes it) holds the clips, in train/, train2/ (without those of motion/),
# hr/ (1080 rows) and motion/ (held out), and may hold weights/, for a tree that came without them;
# DETECTRON2_DATASETS gets the sets made of the clips, and may have triplets/dev. UNTIL is a time in
# seconds (date +%s). Each training is one argument: its GPUs, its seconds per iteration, and a
# command, in which ITERATIONS stands for as many as fit and FOLDER for where it writes. PYTHON picks
# the interpreter; CHECK= leaves out tests and times, SETS="train hr" all data but these:
#
#   docs/lab/rented_machine.sh clips $(($(date +%s) + 1500)) /root/out \
#       "0,1 0.05 env GPUS=2 docs/lab/run_14.sh fine ITERATIONS FOLDER SEED 20"
#
# SOURCE and OUT are absolute, or relative to the repository. OUT/results gets what is worth taking
# home: logs, and training_1.safetensors, ... A training that is late is ended, and exported from
# what it saved then. plan.log in it ends with "end" when nothing more will come. What fails does not
# stop the rest. What OUT holds of earlier trainings is deleted. (OUT must outlast the commands that
# watch it: a machine may empty the folder that it takes files from.)
#
# OUT/compile_cache.tgz is what PyTorch and Triton compiled. As SOURCE/compile_cache.tgz of the next
# machine with the same PyTorch, GPU, and paths, it saves 100 s of the 180 until the first iteration,
# or nothing (run 23 of the lab diary): a training that counted on it is late, and loses its end.
set -uo pipefail
cd "$(dirname "$0")/../.."
source=$1 until=$2 out=$3
shift 3
python="${PYTHON:-python}" results=$out/results
starting=180 # seconds until a training's first iteration: frames, compilation, CUDA graphs
caches=("${TORCHINDUCTOR_CACHE_DIR:-/tmp/torchinductor_$(id -un)}" "$HOME/.triton" "$HOME/.nv")
ending=75    # seconds to end a late training and to export its weights
exporting=20 # seconds for the latter
mkdir -p "$results"
: >"$results/plan.log"

log() { echo "$(date +%T) $*" | tee -a "$results/plan.log"; }

logged() { # NAME COMMAND ...: runs it, and says how it ended
    local begun=$SECONDS
    "${@:2}" >"$results/$1.log" 2>&1
    log "$1 ended with $? after $((SECONDS - begun)) s"
}

prepare() { # FOLDER NAME OPTION ...
    [[ -d $source/$1 && " ${SETS-$2} " == *" $2 "* ]] || return 0
    logged "data_$2" "$python" datasets/prepare_videos.py "$source/$1" --name "$2" "${@:3}" \
        --workers "$(($(nproc) / 2 + 1))"
}

check() { # what CI cannot, while the processor prepares the data
    logged tests "$python" -m pytest -q -p no:cacheprovider -m "gpu or needs_gpu" tests
    logged times "$python" tools/benchmark.py frame --model fast fine fast-roigan --mode triton \
        --dtype float16 --calls 60 --budget 90 --output "$out/benchmark"
    cp "$out"/benchmark/benchmark.* "$results"
}

export_newest() { # NAME: OUT/NAME's averaged weights, from whatever it saved last
    local made=$out/$1/ema.safetensors newest
    if [ ! -e "$made" ]; then
        newest=$(ls -t "$out/$1"/model_*.pth | head -n 1)
        log "$1: from $(basename "$newest")"
        logged "$1_export" "$python" tools/export_model.py "$newest" --output "$made" --dtype float32
    fi
    cp "$made" "$results/$1.safetensors"
}

train() { # NAME GPUS COMMAND ...
    local begun=$SECONDS late="" now status
    rm -rf "${out:?}/$1" "$results/$1.safetensors"
    CUDA_VISIBLE_DEVICES=$2 setsid "${@:3}" >"$results/$1.log" 2>&1 & # a session of its own
    local session=$!
    while ps -o stat= -p "$session" -g "$session" | grep -qv ^Z; do # it, or what it started
        now=$(date +%s)
        if [ -z "$late" ] && [ "$now" -ge "$((until - ending))" ]; then
            late=yes
            log "$1 is late"
            kill -TERM -- "-$session" # which saves it
        elif [ "$now" -ge "$((until - exporting))" ]; then
            kill -KILL -- "-$session"
            break
        fi
        sleep 1
    done
    wait "$session"
    status=$?
    log "$1 ended with $status after $((SECONDS - begun)) s"
    export_newest "$1"
}

[ ! -d "$source/weights" ] || cp "$source"/weights/* zoomin_d2/model_zoo/weights
"$python" -c "import zoomin_d2.engine, zoomin_d2.data.video_packing" || exit 1 # else each log says it
if [ -e "$source/compile_cache.tgz" ] && tar xzPf "$source/compile_cache.tgz"; then
    starting=80
fi
[ -z "${CHECK-yes}" ] || check &
checking=$!
prepare motion motion_val --short-side 540 &
prepare train2 train2 --short-side 540 &
prepare hr hr --short-side 540 &
prepare hr hr_full &
prepare hr hr_pairs --hr-scale 4 &
prepare train train --short-side 540 &
for job in $(jobs -p); do [ "$job" = "$checking" ] || wait "$job"; done
log "the data are ready"
count=0
for training in "$@"; do
    read -r gpus seconds command <<<"$training"
    left=$((until - ending - starting - $(date +%s)))
    iterations=$("$python" -c "print(int($left / $seconds))")
    [ "$iterations" -gt 0 ] || { log "no time is left for $command"; continue; }
    count=$((count + 1))
    command=${command//ITERATIONS/$iterations}
    command=${command//FOLDER/$out/training_$count}
    log "training_$count on GPU $gpus: $command"
    train "training_$count" "$gpus" $command &
done
wait
[ -e "$source/compile_cache.tgz" ] || tar czPf "$out/compile_cache.tgz" "${caches[@]}" 2>/dev/null
log end
