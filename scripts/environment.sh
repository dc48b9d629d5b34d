# Sourced by the scripts beside it: the system packages, the service user and the Python environment of this checkout.
#
# As root everything lives where the service user can read it and cannot write it (/opt/toolhost/<hash of the checkout's
# path>), because the server gives up root before it serves. As an ordinary user it is .venv in the checkout. Either way
# each checkout has its own, and a stamp beside each environment says what it was made of, so that a second run installs
# nothing.

set -eu
umask 022
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# The distribution's own interpreter: others (pyenv, conda) tend to live in a home folder the service user cannot enter.
system_python=/usr/bin/python3

if [ "$(id -u)" -eq 0 ]; then
    environments=/opt/toolhost/$(printf '%s' "$checkout" | sha256sum | cut -c 1-12)
else
    environments=$checkout/.venv
fi

say() {
    printf 'toolhost: %s\n' "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

# Prints the Debian packages among "$@" that this machine lacks. What is looked for is the thing itself, not dpkg's
# opinion, so that a machine which has it from elsewhere is left alone.
missing_packages() {
    for package in "$@"; do
        case $package in
        bubblewrap) command -v bwrap >/dev/null ;;
        libseccomp2) ldconfig -p | grep -q 'libseccomp\.so\.2' ;;
        iproute2) command -v ip >/dev/null ;;
        nodejs) command -v node >/dev/null ;;
        python3-venv) "$system_python" -c 'import ensurepip, venv' 2>/dev/null ;;
        ripgrep) command -v rg >/dev/null ;;
        *) command -v "$package" >/dev/null ;;
        esac || printf '%s ' "$package"
    done
}

# Installs the packages among "$@" that are missing, or says which command would.
need_packages() {
    # Unquoted below on purpose: a list of words.
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    instead="Install what is missing, then run this again: sudo apt-get install ${missing% }"
    command -v apt-get >/dev/null ||
        fail "missing: ${missing% }. This machine has no apt-get; install them with its own package manager."
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=sudo
    else
        fail "missing: ${missing% }, and this user may not install packages. $instead"
    fi
    say "installing ${missing% }"
    apt_update
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq install -y \
        --no-install-recommends $missing >&2 || fail "apt-get could not install them. $instead"
    # shellcheck disable=SC2086
    missing=$(missing_packages $missing)
    [ -z "$missing" ] || fail "still missing after the installation: ${missing% }."
}

# DPkg::Lock::Timeout waits for dpkg's lock but not for the lock on the package lists: that one has to be tried again.
apt_update() {
    tries=60
    while [ "$tries" -gt 0 ]; do
        if answer=$($as_root apt-get -qq update 2>&1); then
            return 0
        fi
        case $answer in
        *lock*) sleep 5 ;;
        *) break ;;
        esac
        tries=$((tries - 1))
    done
    say "apt-get update failed, going on with the package lists as they are: $answer"
}

# The user that the server becomes when root starts it.
need_service_user() {
    [ "$(id -u)" -eq 0 ] || return 0
    getent passwd toolhost >/dev/null && return 0
    say "creating the service user toolhost"
    # Another checkout may be creating it at this moment: what counts is that it exists afterwards.
    useradd --system --user-group --no-create-home --home-dir /var/lib/toolhost --shell /usr/sbin/nologin toolhost ||
        getent passwd toolhost >/dev/null || fail "the service user toolhost could not be created."
}

# need_environment NAME LOCK: an environment with exactly what LOCK pins, and the project as an ordinary wheel.
# Sets $environment.
need_environment() {
    environment=$environments/$1
    lock=$checkout/$2
    mkdir -p "$environments"
    exec 9>"$environments/$1.lock"
    flock 9

    "$system_python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$system_python is older than Python 3.11; Debian 12, Ubuntu 24.04 or later have what is needed."
    stamp=$({ "$system_python" -VV; cat "$lock"; } | sha256sum)
    if [ "$(cat "$environment/dependencies.stamp" 2>/dev/null)" != "$stamp" ]; then
        say "making the environment $environment"
        rm -rf "$environment"
        "$system_python" -m venv "$environment"
        "$environment/bin/python" -m pip --disable-pip-version-check install --quiet --no-input --require-hashes \
            --no-deps --only-binary :all: -r "$lock"
        printf '%s\n' "$stamp" >"$environment/dependencies.stamp"
    fi

    stamp=$(project_digest)
    if [ "$(cat "$environment/project.stamp" 2>/dev/null)" != "$stamp" ]; then
        say "installing the project into $environment"
        rm -f "$environment/project.stamp"
        install_project
        printf '%s\n' "$stamp" >"$environment/project.stamp"
    fi
    exec 9>&-
}

# need_servers: MCP servers of others, unmodified, for the tests of plugins that are one. They are not of this project's
# environment: what they depend on differs from what it depends on.
need_servers() {
    servers=$environments/servers
    mkdir -p "$environments"
    exec 9>"$servers.lock"
    flock 9
    stamp=$({ "$system_python" -VV; node --version; cat "$checkout"/tests/servers/*; } | sha256sum)
    if [ "$(cat "$servers/stamp" 2>/dev/null)" != "$stamp" ]; then
        say "installing the MCP servers of the tests into $servers"
        rm -rf "$servers"
        mkdir -p "$servers"
        cp "$checkout/tests/servers/package.json" "$checkout/tests/servers/package-lock.json" "$servers"
        (cd "$servers" && npm ci --omit=dev --ignore-scripts --no-bin-links --no-audit --no-fund --loglevel=error >&2)
        "$system_python" -m venv "$servers/python"
        "$servers/python/bin/python" -m pip --disable-pip-version-check install --quiet --no-input --require-hashes \
            --no-deps --only-binary :all: -r "$checkout/tests/servers/requirements.lock"
        printf '%s\n' "$stamp" >"$servers/stamp"
    fi
    exec 9>&-
}

project_files="core sandbox plugins web policies pyproject.toml setup.py README.md LICENSE"

project_digest() {
    # shellcheck disable=SC2086
    (cd "$checkout" && find $project_files -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z |
        xargs -0 sha256sum | sha256sum)
}

# Built from a copy: setuptools leaves build/ and *.egg-info beside what it builds, and a later build would pick up
# modules from there that the project no longer has.
install_project() {
    staging=$(mktemp -d)
    trap 'rm -rf "$staging"' EXIT
    # shellcheck disable=SC2086
    (cd "$checkout" && tar --exclude=__pycache__ -cf - $project_files) | tar --no-same-owner -xf - -C "$staging"
    "$environment/bin/python" -m pip --disable-pip-version-check install --quiet --no-input --no-index --no-deps \
        --no-build-isolation --force-reinstall "$staging"
    rm -rf "$staging"
    trap - EXIT
}

# Puts `toolhost` on everybody's PATH when root runs the first checkout of a machine. Another's is left alone, because
# whoever uses that one would silently be given this one, and named.
link_command() {
    link=/usr/local/bin/toolhost
    [ "$(id -u)" -eq 0 ] || return 0
    if [ ! -e "$link" ]; then
        ln -sfn "$environment/bin/toolhost" "$link"
    elif [ ! "$link" -ef "$environment/bin/toolhost" ]; then
        say "$link is another installation's. This one's is $checkout/scripts/toolhost; to have it there:" \
            "ln -sfn $environment/bin/toolhost $link"
    fi
}
