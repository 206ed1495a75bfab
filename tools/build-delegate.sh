#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds Mesa's TFLite delegate with its etnaviv driver, unpatched, from Debian's source package; prints the library's path.
# usage: tools/build-delegate.sh FOLDER      root on Debian; some minutes on two cores, 600 MB. Built once, it is only named.
set -euo pipefail

[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
target=src/gallium/targets/teflon/libteflon.so
log=$folder/build.log
release=trixie # the first with Mesa 25.0; older ones lack the delegate

if [ -e "$folder/done" ]; then
    echo "$folder/build/$target"
    exit
fi
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "$0: it takes root on Debian" >&2; exit 1; }

mirror() { # where this machine gets its packages from
    cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -E '^(URIs:|deb )' |
        grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1
}

build() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update
    apt-get -q install -y --no-install-recommends bison dpkg-dev flex g++ gcc libdrm-dev libelf-dev libexpat1-dev \
        libzstd-dev pkgconf python3-venv zlib1g-dev

    # Only source lists of that release, kept apart from the machine's own.
    local from
    from=$(mirror)
    [ -n "$from" ] || { echo "no Debian mirror in /etc/apt/sources.list or sources.list.d"; return 1; }
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from $release main" \
        >"$folder/sources.list"
    mkdir -p "$folder/lists/partial"
    local apt=(apt-get -q -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$folder/lists" -o APT::Sandbox::User=root)
    "${apt[@]}" update
    cd "$folder"
    compgen -G 'mesa-*/meson.build' >/dev/null || "${apt[@]}" source mesa

    python3 -m venv tools
    tools/bin/pip -q install mako meson ninja packaging pycparser pyyaml
    export PATH=$folder/tools/bin:$PATH
    [ -e build/build.ninja ] || meson setup build mesa-*/ --buildtype=release -Dteflon=true -Dgallium-drivers=etnaviv \
        -Dvulkan-drivers= -Dplatforms= -Dopengl=false -Dgles1=disabled -Dgles2=disabled -Degl=disabled -Dgbm=disabled \
        -Dglx=disabled -Dllvm=disabled -Dgallium-rusticl=false
    ninja -C build "$target" && touch done # a condition below: set -e does not hold in here
}

if ! (build) >"$log" 2>&1; then
    echo "$0: failed; $log says why" >&2
    exit 1
fi
echo "$folder/build/$target"
