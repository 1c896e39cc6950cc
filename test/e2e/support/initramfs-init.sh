#!/bin/busybox sh
# PID 1 of a guest until the machine's own root is mounted: modules, the root read-only over 9p below
# an overlay in memory, the kernel's modules, and then the init that the boot asks for. What differs
# from boot to boot is in the file that the kernel's command line names; see guest.ts.
set -e
export PATH=/bin
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /host /memory /root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules.order); do insmod "/modules/$module"; done

mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /host
mount -t tmpfs -o size=75% memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /root

boot=$(sed -n 's/.*aurochs\.boot=\([^ ]*\).*/\1/p' /proc/cmdline)
. "/root$boot"
mkdir -p /root/lib/modules /root/proc /root/sys /root/dev /root/run
ln -sfn "$KERNEL_MODULES" "/root/lib/modules/$(uname -r)"
echo guest > /proc/sys/kernel/hostname
mount --move /proc /root/proc
mount --move /sys /root/sys
mount --move /dev /root/dev
mount -t tmpfs -o mode=755 run /root/run
mkdir -p /root/dev/shm /root/dev/pts /root/run/lock
mount -t tmpfs shm /root/dev/shm
mount -t devpts -o mode=620,ptmxmode=666 pts /root/dev/pts
echo 'InitiatorName=iqn.2001-04.com.example:guest' > /root/etc/iscsi/initiatorname.iscsi

if [ "$INIT" = systemd ]; then
  # What this machine happens to have enabled is no part of the guest, and what walks over the whole
  # tree takes minutes over 9p.
  rm -rf /root/etc/systemd/system/*.wants
  units=/root/run/systemd/system
  mkdir -p $units/multi-user.target.wants /root/etc/systemd/system
  for unit in systemd-tmpfiles-setup systemd-tmpfiles-clean systemd-tmpfiles-setup-dev \
    systemd-journal-catalog-update systemd-journal-flush systemd-update-done systemd-sysusers \
    systemd-hwdb-update systemd-machine-id-commit systemd-firstboot systemd-remount-fs \
    systemd-random-seed systemd-update-utmp ldconfig getty@tty1 serial-getty@ttyS0; do
    ln -sf /dev/null "/root/etc/systemd/system/$unit.service"
  done
  echo "$UNIT" > $units/aurochs-e2e.service
  ln -s ../aurochs-e2e.service $units/multi-user.target.wants/
  chroot /root /bin/sh -e -c "$PREPARE"
  exec switch_root /root /lib/systemd/systemd --unit=multi-user.target
fi
chroot /root /bin/sh -e -c "$PREPARE"
exec switch_root /root /bin/sh "$RUN" "$boot"
