#!/usr/bin/env bash
# Installs what a build (or the tests) need and the machine lacks; where it cannot, it says what to install.
set -euo pipefail
what=${1:-build}
missing=()

need() { # command, Debian package
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

need_file() { # file pattern, Debian package
    compgen -G "$1" >/dev/null || missing+=("$2")
}

need cc build-essential
need make make
if [ "$what" != light ]; then
    # Lance compiles its formats with protoc; the well-known types are in a package of their own.
    need protoc protobuf-compiler
    need_file '/usr/include/google/protobuf/empty.proto' libprotobuf-dev
fi
if [ "$what" = tests ]; then
    need c++ g++
    need cmake cmake
    need pkg-config pkg-config
    need_file '/usr/include/openssl/ssl.h' libssl-dev
    need_file '/usr/include/zlib.h' zlib1g-dev
    need mvn maven
    need strace strace
    need python3 python3
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
    java -version 2>&1 | grep -qE 'version "(1[7-9]|2[0-9])' || missing+=(openjdk-17-jre-headless)
fi

if [ ${#missing[@]} -gt 0 ]; then
    if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null 2>&1; }; then
        run=""
        [ "$(id -u)" = 0 ] || run=sudo
        echo "installing: ${missing[*]}" >&2
        $run apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
    else
        echo "please install (names of Debian packages): ${missing[*]}" >&2
        exit 1
    fi
fi

if ! command -v cargo >/dev/null 2>&1; then
    echo "please install Rust 1.90 or later: https://rustup.rs" >&2
    exit 1
fi
