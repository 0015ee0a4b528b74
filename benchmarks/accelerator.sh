#!/bin/sh
# All that is to be measured on a GPU, in one go: sh benchmarks/accelerator.sh DATA_FOLDER > results.txt
# Needs the extra `cuda`. A warm start finds the programs that the cold one before it has left.
set -eu
data=${1:?the folder of the data sets}
here=$(dirname "$0")
headline=128-256-512-1024-2048
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0

quality() {  # cold, then warm
    JAX_COMPILATION_CACHE_DIR=$(mktemp -d)
    export JAX_COMPILATION_CACHE_DIR
    for start in cold warm; do
        echo "$start: $*"
        python "$here/time_to_quality.py" --data_dir "$data" --seeds 1 "$@"
    done
}

echo "## Rates, and epochs of one run"
python "$here/cost.py"
echo "## Runs side by side"
for runs in 2 5 12 32; do python "$here/cost.py" --runs $runs; done
echo "## A grid of twelve runs as one program"
python "$here/study.py" --data_dir "$data"
echo "## Five executions together"
quality --executions 5 --runs fast:3 --target 0.1403
quality --executions 5 --runs fast:20
quality --executions 5 --runs original:46 --curve 2 --target 0.1403
quality --executions 5 --runs fast:7 --arch $headline --lr 3e-3 --target 0.125
quality --executions 5 --runs fast:40 --arch $headline --lr 3e-3
quality --executions 5 --runs original:500 --curve 20 --arch $headline --target 0.125
