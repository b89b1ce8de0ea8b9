"""Emulates a bad link: reads IP packets from a TUN device, delays each, drops some, and writes the others back.

netns-test.sh runs it in the router's namespace, whose rules route all forwarded packets through the device once. It replaces
tc-netem(8), which not every kernel has. Usage: lossy_link.py DEVICE DELAY-MS JITTER-MS LOSS-PER-CENT. Prints packet counts
on SIGTERM.
"""

import fcntl
import heapq
import os
import random
import select
import signal
import struct
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

name, delay, jitter, loss = sys.argv[1], *map(float, sys.argv[2:5])
device = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TUN | IFF_NO_PI))
os.set_blocking(device, False)
chance = random.Random(1)
waiting, forwarded, dropped, number = [], 0, 0, 0


def end(*_):
    print(f"{forwarded + dropped} packets, {dropped} dropped", flush=True)
    os._exit(0)


signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    pause = max(0, waiting[0][0] - time.monotonic()) if waiting else None
    if select.select([device], [], [], pause)[0]:
        try:
            packet = os.read(device, 65536)
        except BlockingIOError:
            continue
        if chance.random() * 100 < loss:
            dropped += 1
        else:
            number += 1
            due = time.monotonic() + max(0, chance.gauss(delay, jitter)) / 1000
            heapq.heappush(waiting, (due, number, packet))
    while waiting and waiting[0][0] <= time.monotonic():
        try:
            os.write(device, heapq.heappop(waiting)[2])
            forwarded += 1
        except OSError:  # the interface is down
            dropped += 1
