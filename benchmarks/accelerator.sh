#!/bin/sh
# All that is to be measured on a GPU, in one go: sh benchmarks/accelerator.sh DATA_FOLDER > results.txt
# Needs the extra `cuda`. Programs are kept in a folder of its own, so that the first run of two is a
# cold start and the second a warm one.
set -eu
data=${1:?the folder of the data sets}
here=$(dirname "$0")
JAX_COMPILATION_CACHE_DIR=$(mktemp -d)
export JAX_COMPILATION_CACHE_DIR
headline=128-256-512-1024-2048

echo "## Rates, and epochs of one run"
python "$here/cost.py"
echo "## Runs side by side"
for runs in 2 5 12 32; do python "$here/cost.py" --runs $runs | tail -n 1; done
echo "## A grid of twelve runs as one program"
python "$here/study.py" --data_dir "$data"
echo "## Five executions of 500-500 together, cold and warm"
for start in cold warm; do
    echo "$start"
    python "$here/time_to_quality.py" --data_dir "$data" --executions 5 --seeds 1 --runs fast:3,fast:20
done
echo "## Five executions of the headline architecture together, cold and warm"
for start in cold warm; do
    echo "$start"
    python "$here/time_to_quality.py" --data_dir "$data" --executions 5 --seeds 1 --runs fast:7,fast:60 \
        --arch $headline --lr 3e-3
done
