#!/usr/bin/env python3
"""Tells what tracing costs whoever lists a directory, for docs/host.md:

    dirleak run --kernel 6.1:cloud --exec './tests/data/trace-overhead.py {dir} {mount} ./target/release/dirleak' --file ./target/release/dirleak

Each way to trace is set, some cold listings are timed, and so on in turn; the guest has one processor and counts its instructions, so
that times are work. It ends with 1, so that the run shows what it said.
"""
import ctypes, os, statistics, subprocess, sys, time

TRACING = "/sys/kernel/tracing"
INSTANCE = TRACING + "/instances/overhead"
ALLOCS = ["kmem/kmalloc", "kmem/kmalloc_node", "kmem/kmem_cache_alloc", "kmem/kmem_cache_alloc_node"]
FREES = ["kmem/kfree", "kmem/kmem_cache_free"]
FILES, LISTINGS, ROUNDS = 400, 8, 3
HIST = "hist:keys=call_site:size=4096"

directory, mount, dirleak = (sys.argv[1:] + [None])[:3]


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def events(base, names, filter=None, trigger=None):
    """Switches events on and gives what switches them off again."""
    there = [f"{base}/events/{name}" for name in names if os.path.isdir(f"{base}/events/{name}")]
    for event in there:
        if filter is not None:
            write(event + "/filter", filter)
        if trigger is not None:
            write(event + "/trigger", trigger)
        else:
            write(event + "/enable", "1")
    def off():
        for event in there:
            if trigger is not None:
                write(event + "/trigger", "!" + trigger)
            else:
                write(event + "/enable", "0")
                write(event + "/filter", "0")
    return off


def sampled(bits):
    mask = ((1 << bits) - 1) << 12
    return events(INSTANCE, ALLOCS + FREES, f"!(ptr & {mask:#x})" if bits else "0")


def watching(*words):
    command = [dirleak, "host", mount, "--watch", "--interval", "10", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(4)
    def off():
        process.terminate()
        process.wait()
    return off


WAYS = {
    "nothing": lambda: lambda: None,
    "events, none of which passes the filter": lambda: events(INSTANCE, ALLOCS + FREES, "ptr == 1"),
    "kmalloc and kfree alone, none of which passes": lambda: events(INSTANCE, ["kmem/kmalloc", "kmem/kfree"], "ptr == 1"),
    "events of one in 64 addresses": lambda: sampled(6),
    "events of one in 8 addresses": lambda: sampled(3),
    "events of all addresses": lambda: sampled(0),
    "hist triggers by call site": lambda: events(INSTANCE, ALLOCS + FREES, None, HIST),
    "host --watch": lambda: watching(),
    "host --watch --attribute": lambda: watching("--attribute"),
}


def list_once():
    handle = os.open(directory, os.O_RDONLY)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    begin = time.monotonic_ns()
    os.utime(directory)
    found = len(os.listdir(handle))
    took = time.monotonic_ns() - begin
    os.close(handle)
    assert found == FILES, found
    return took


with open("/proc/mounts") as table:
    mounts = [line.split()[1:3] for line in table]
there = max((point for point, _ in mounts if directory.startswith(point)), key=len)
if not dict(mounts)[there].startswith("nfs"):
    # A control round in a local directory, of which nothing is asked.
    sys.exit(0)
for number in range(FILES):
    open(f"{directory}/{number:04}" + "n" * 60, "w").close()
if not os.path.isdir(TRACING + "/events"):
    ctypes.CDLL(None).mount(b"tracefs", TRACING.encode(), b"tracefs", 0, None)
os.mkdir(INSTANCE)
if dirleak is None:
    WAYS = {name: way for name, way in WAYS.items() if not name.startswith("host ")}
times = {name: [] for name in WAYS}
for _ in range(ROUNDS):
    for name, way in WAYS.items():
        off = way()
        list_once()
        begin = time.monotonic_ns()
        for _ in range(LISTINGS):
            list_once()
        times[name].append((time.monotonic_ns() - begin) / LISTINGS / 1e6)
        off()
os.rmdir(INSTANCE)
base = statistics.median(times["nothing"])
for name, took in times.items():
    median = statistics.median(took)
    spread = 100 * (max(took) - min(took)) / median
    print(f"{name}: {median:.2f} ms a listing, {100 * (median / base - 1):+.1f} %, spread {spread:.0f} %")
sys.exit(1)
