#!/usr/bin/env bash
# Installs programs that tests use and pip cannot bring: Chromium, a library of the program that drives
# it, and PostgreSQL's server. From Debian's or Ubuntu's packages, as root or by sudo without a
# password; elsewhere it does nothing, and the end of the tests says what was skipped. It never fails.
set -u
packages=()
command -v chromium chromium-browser google-chrome >/dev/null || packages+=(chromium fonts-dejavu-core)
ldconfig -p 2>/dev/null | grep -q libatomic.so.1 || packages+=(libatomic1)
command -v initdb >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null \
    || packages+=(postgresql)
[ ${#packages[@]} -gt 0 ] || exit 0
command -v apt-get >/dev/null || exit 0
as_root=()
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || exit 0
    as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
fi
echo "installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
get=("${as_root[@]}" timeout 300 apt-get -qq -o Acquire::Retries=2 -o DPkg::Lock::Timeout=120)
"${get[@]}" update >/dev/null 2>&1
for package in "${packages[@]}"; do
    "${get[@]}" install --yes --no-install-recommends "$package" >/dev/null 2>&1 \
        || echo "$package could not be installed"
done
exit 0
