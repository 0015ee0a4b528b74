# An interactive shell in which `autodecoder` and ./train.py work.
#
#   docker build -t autodecoder:cpu .
#   docker run -it -v "$PWD":/autodecoder --network host --name autodecoder autodecoder:cpu
#
# On NVIDIA GPUs (driver 525 or newer and the NVIDIA Container Toolkit on the host):
#
#   docker build -t autodecoder:cuda --build-arg ACCELERATOR=cuda .
#   docker run -it -v "$PWD":/autodecoder --network host --gpus all --name autodecoder autodecoder:cuda
#
# -v "$PWD":/autodecoder puts a checkout in place of the copy in the image: the package is installed
#   editable from /autodecoder, so edits on the host take effect and results in runs/ stay on the
#   host. A folder mounted anywhere else is there to work with, but its code is not what runs.
#   Without -v the image's own copy runs.
# -e XDG_CACHE_HOME=/cache -v autodecoder-cache:/cache keeps downloaded data sets and compiled programs;
#   digits needs no download.
# --network host shows TensorBoard on the host's own ports.
#
# The shell is root's, which can write to a mounted folder whoever owns it; new files there then
# belong to root. With --user "$(id -u):$(id -g)" they belong to the caller.

# JAX's CUDA wheels bring CUDA with them, so that both kinds start from the same small base.
FROM debian:bookworm-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

# make, too, uses this environment instead of a .venv in the folder, which may be the host's.
ENV LANG=C.UTF-8 \
    PATH=/opt/venv/bin:$PATH \
    MAKEFLAGS=VENV=/opt/venv \
    MPLCONFIGDIR=/tmp/matplotlib \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

RUN python3 -m venv /opt/venv

# cpu or cuda
ARG ACCELERATOR=cpu

# Dependencies before the source: they are installed again only when a lock file changes.
COPY requirements.lock requirements-cuda.lock /opt/locks/
RUN case "$ACCELERATOR" in \
        cpu) lock=requirements.lock ;; \
        cuda) lock=requirements-cuda.lock ;; \
        *) echo "ACCELERATOR must be cpu or cuda, not '$ACCELERATOR'" >&2; exit 2 ;; \
    esac \
    && pip install --no-cache-dir --require-hashes --requirement "/opt/locks/$lock"

WORKDIR /autodecoder
COPY . .

# The build backend comes from the lock file, too. `pip check` fails if the lock files are older than
# the requirements in pyproject.toml; the last line tells make that nothing is left to install.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && pip check \
    && touch /opt/venv/installed

CMD ["bash"]
