#!/bin/sh
# SPDX-License-Identifier: MIT
# Prove that ./dev demo alone and ./dev test alone do all their own set-up: each runs twice
# in a new, minimal Debian 12 of its own, with the tree of HEAD. The second run must install,
# configure and compile nothing. Everything is removed again. Exit status 77 and one line
# where that cannot be tried.
#
# usage: fresh_test.sh [demo | test [LANE...]]     (without arguments: demo, then all of test)
set -eu
cd "$(dirname "$0")/.."

skip()
{
    echo "fresh-test: SKIPPED: $*" >&2
    exit 77
}

say() { echo "fresh-test: $*" >&2; }

part=${1:-all}
[ $# -eq 0 ] || shift
case $part in
all | demo | test) ;;
*)
    say "usage: fresh_test.sh [demo | test [LANE...]]"
    exit 2
    ;;
esac

[ "$(id -u)" = 0 ] || skip "needs root (chroot)"
git rev-parse -q --verify HEAD >/dev/null || skip "there is no commit to test"
command -v chroot >/dev/null || skip "no chroot"
if command -v mmdebstrap >/dev/null; then
    maker=mmdebstrap
elif command -v debootstrap >/dev/null; then
    maker=debootstrap
else
    skip "neither mmdebstrap nor debootstrap is installed"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/molehill-fresh.XXXXXX")
root=$work/root
mounted=
unmount()
{
    for where in $mounted; do
        umount -R "$root/$where" 2>/dev/null || umount -R -l "$root/$where" || :
    done
    mounted=
}
cleanup()
{
    unmount
    # Never descend into something that is still mounted.
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

# With the machine's own package sources, so that a mirror or a proxy it needs is used.
make_base()
{
    say "$maker in $work"
    if [ "$maker" = mmdebstrap ]; then
        sources=
        for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
            /etc/apt/sources.list.d/*.sources; do
            [ ! -s "$file" ] || sources="$sources $file"
        done
        mmdebstrap --quiet --variant=minbase bookworm "$work/base" $sources ||
            skip "mmdebstrap failed"
    else
        debootstrap --variant=minbase bookworm "$work/base" >"$work/log" 2>&1 || {
            tail -n 3 "$work/log" >&2
            skip "debootstrap failed"
        }
    fi
    for file in /etc/apt/apt.conf.d/*prox* /etc/resolv.conf /etc/hosts; do
        [ ! -f "$file" ] || cp -L "$file" "$work/base$file"
    done
    mkdir "$work/base/molehill"
    git archive HEAD | tar -x -C "$work/base/molehill"
}

make_root()
{
    cp -a "$work/base" "$root"
    for where in proc sys dev; do
        if mount --rbind "/$where" "$root/$where" 2>/dev/null; then
            mount --make-rslave "$root/$where" 2>/dev/null || :
            mounted="$where $mounted"
        fi
    done
    [ -r "$root/proc/self/maps" ] || skip "cannot mount proc in the chroot"
}

drop_root()
{
    unmount
    rm -rf --one-file-system "$root"
}

# What a run of ./dev did to the root since the stamp.
look()
{
    installed=$(find "$root/var/lib/dpkg/info" -name '*.list' -newer "$stamp" | wc -l)
    configured=$(find "$root/molehill/build" -name coredata.dat -newer "$stamp" | wc -l)
    compiled=$(find "$root/molehill/build" -name '*.o' -newer "$stamp" | wc -l)
}

# enter COMMAND...: in the root, with an environment that owes nothing to ours.
enter()
{
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LC_ALL=C.UTF-8 chroot "$root" sh -c 'cd /molehill && exec "$@"' sh "$@"
}

# twice ARGUMENT...: ./dev with these, in a new root, as a newcomer would and then again.
twice()
{
    make_root
    stamp=$work/stamp
    for time in first second; do
        touch "$stamp"
        begin=$(date +%s) status=0
        enter ./dev "$@" || status=$?
        seconds=$(($(date +%s) - begin))
        look
        say "./dev $* for the $time time: status $status, $seconds s, $installed packages" \
            "installed, $configured builds configured, $compiled objects compiled"
        [ "$status" = 0 ] || failed=1
        case $time in
        # If nothing were seen here, nothing could be seen the second time.
        first) [ "$installed" -gt 0 -a "$configured" -gt 0 -a "$compiled" -gt 0 ] ;;
        second) [ "$installed $configured $compiled" = '0 0 0' ] ;;
        esac || {
            say "./dev $* for the $time time: FAILED: that is not what it should do"
            failed=1
        }
    done
    drop_root
}

failed=0
make_base
case $part in all | demo) twice demo --quick ;; esac
case $part in all | test) twice test "$@" ;; esac
say "$([ $failed = 0 ] && echo passed || echo FAILED)"
exit "$failed"
