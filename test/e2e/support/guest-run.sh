#!/bin/sh
# Runs what the boot is for and powers the guest off: PID 1 itself, or a unit of systemd.
# $1 is the boot file; see guest.ts.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DM_DISABLE_UDEV=1
. "$1"
modprobe -a virtio_console virtio_blk
ip link set lo up
cd "$CHECKOUT" || exit 1
"$NODE" --enable-source-maps dist/test/e2e/support/guest-main.js "$TASK" < /dev/null
echo "guest: the task ended with $?"
# systemd stops its units in order, which a spec may be about.
[ "$INIT" != systemd ] || exec systemctl --no-block poweroff
exec busybox poweroff -f
