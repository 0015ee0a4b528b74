#!/bin/sh
# What is to be measured on a GPU, in five minutes: sh benchmarks/accelerator.sh DATA_FOLDER > results.txt
# With `whole` behind the folder everything, in about half an hour. Needs the extra `cuda`.
# A warm start finds the programs that the cold one before it has left.
set -eu
data=${1:?the folder of the data sets}
here=$(dirname "$0")
headline=128-256-512-1024-2048
JAX_COMPILATION_CACHE_DIR=$(mktemp -d)
export JAX_COMPILATION_CACHE_DIR JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0

quality() {  # five executions together, cold the first time
    echo "five executions: $*"
    python3 "$here/time_to_quality.py" --data_dir "$data" --seeds 1 --executions 5 "$@" || true
}

echo "## The headline architecture"
for start in cold warm; do
    echo "$start:"
    quality --runs fast:2 --arch $headline
done
quality --runs fast:60 --arch $headline --lr 5e-3
quality --runs original:500 --arch $headline
echo "## Epochs"
python3 "$here/cost.py" --runs 5 --arch $headline
[ "${2:-}" = whole ] || exit 0
python3 "$here/cost.py" --runs 1,2,5,12,32
python3 "$here/cost.py"
echo "## Learning rates by length, on a split of the training images"
python3 "$here/rates.py" --data_dir "$data" --arch $headline --epochs 20,60
python3 "$here/rates.py" --data_dir "$data" --epochs 20,100
echo "## A grid of twelve runs as one program"
python3 "$here/study.py" --data_dir "$data"
echo "## 500-500"
for start in cold warm; do
    echo "$start:"
    quality --runs fast:2 --lr 2e-2
done
quality --runs fast:20
quality --runs original:46 --curve 2 --target 0.1403
