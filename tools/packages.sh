# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# packages.sh - sourced by tools/quickstart and tools/run-tests: Debian packages that are missing
# are installed. What counts is whether a thing works here, not how it came.

# Usage: header_present <header>
header_present() {
    printf '#include <%s>\n' "$1" | cc -E - >/dev/null 2>&1
}

# Usage: package_present <package>. A package without a line of its own is a program of that name.
package_present() {
    case $1 in
    libc6-dev) header_present stdio.h ;;
    libaio-dev) header_present libaio.h ;;
    libjansson-dev) header_present jansson.h ;;
    liburing-dev) header_present liburing.h ;;
    systemtap-sdt-dev) header_present sys/sdt.h ;;
    check) header_present check.h ;;
    ninja-build) command -v ninja ;;
    libc6-dbg) [[ -d /usr/lib/debug/.build-id ]] || ! command -v dpkg ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

# Usage: apt_install <package>... Quiet unless it fails. The package lists are fetched only when
# the ones at hand do not do, as on a machine that has none yet.
apt_install() {
    local log root=()
    local options=(-y -q --no-install-recommends -o DPkg::Lock::Timeout=300)

    if [[ $EUID -ne 0 ]]; then
        root=(sudo)
    fi
    log=$(mktemp)
    if "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install "${options[@]}" "$@" >"$log" 2>&1 ||
        { "${root[@]}" apt-get update -q >>"$log" 2>&1 &&
            "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install "${options[@]}" "$@" >>"$log" 2>&1; }; then
        rm -f "$log"
        return 0
    fi
    cat "$log" >&2
    rm -f "$log"
    return 1
}

# Usage: packages_need <package>... Returns with all of them there, or ends the script.
packages_need() {
    local package missing=()

    for package in "$@"; do
        package_present "$package" || missing+=("$package")
    done
    if [[ ${#missing[@]} -eq 0 ]]; then
        return 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "There is no apt-get here. Please install what these Debian packages hold, then" \
            "start again: ${missing[*]}" >&2
        exit 1
    fi
    if [[ $EUID -ne 0 ]] && ! command -v sudo >/dev/null; then
        echo "Only root can install packages, and there is no sudo. Please run as root:" \
            "apt-get install ${missing[*]}" >&2
        exit 1
    fi
    if [[ $EUID -eq 0 ]]; then
        echo "Installing with apt-get: ${missing[*]}"
    else
        echo "Installing with sudo apt-get, which may ask for your password: ${missing[*]}"
    fi
    if ! apt_install "${missing[@]}"; then
        echo "apt-get could not install: ${missing[*]} (its words are above)." >&2
        exit 1
    fi
}
