#!/usr/bin/env python3
"""Real machines, whose processes are killed at random moments: kills.py ROUNDS SEED [DONE].

The instance BULKHEAD_HOME runs, with the template appliance and two qubes of it that are halted: a, to which something is done in each
round (start, shutdown, kill, clone, revert, import, or nothing but its own writing), and b, which runs and writes meanwhile. At a
random moment of that one process is killed with -9: a QEMU, a qube-monitor, a daemon of a qube, a job of qubesd, or qubesd itself.

Then all comes to rest and `bulkhead check` finds nothing; no file of a committed revision has a byte that changed; a, b and the clone start; and each holds what DESIGN.md's rule on crashes says: what was flushed is there, what was answered is
kept, what was not is whole or not at all. Crashes of qubesd and of the machine, many more and with more kinds of volumes: crash.py.

DONE is a file with the count of rounds that have passed, which is kept up to date. Environment: PATH with qvm-* and bulkhead.
Exit status: 0; 1 something was lost.
"""
import glob
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from crash import Instance, Refused, Wrong, newest, run

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# bounds, not expectations: the guests are emulated and share the processors with others
LIMIT_S = 600
# about how long each takes where a start is a fork; a moment beyond is one right behind it
TAKES_S = {"start": 3, "shutdown": 4, "kill": 0.3, "clone": 1, "revert": 0.4, "import": 1.5, "nothing": 1}
DAEMONS = ("vchand", "qubesdb-daemon", "qrexec-daemon", "qrexec-broker")
VICTIMS = ("a QEMU", "a QEMU", "a monitor", "a monitor", "a daemon", "a job", "qubesd")


def command(*argv, limit=LIMIT_S):
    """(status, what it said, with its complaints if it failed); it has ended"""
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=limit)
    return p.returncode, (p.stdout if p.returncode == 0 else p.stdout + p.stderr).strip()


def must(*argv):
    status, said = command(*argv)
    if status != 0:
        raise Wrong("%s: %d %s" % (" ".join(argv), status, said))
    return said


def sum_of(path):
    """of a file as it is; a revision that others were merged into is another file of that name"""
    with open(path, "rb") as f:
        return os.fstat(f.fileno()).st_ino, hashlib.sha256(f.read()).digest()


class Running(Instance):
    """the instance that was begun by others"""

    def __init__(self):
        self.home = os.environ["BULKHEAD_HOME"]

    def rest(self):
        """nothing is under way; who is in which state"""
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                return self.settle()
            except (Wrong, Refused, OSError):
                if time.monotonic() > end:
                    raise


class Qube:
    """mark: what /rw/mark may hold. committed: number of a revision -> the mark that is in it"""

    def __init__(self, system, name):
        self.system, self.name = system, name
        self.may = {""}
        self.uuid = must("qvm-prefs", name, "uuid")
        self.folder = "%s/state/pools/default/vm/%s/private" % (system.instance.home, self.uuid)
        self.committed = {self.newest: ""}

    @property
    def newest(self):
        return int(os.path.basename(newest(self.folder)[1]).split(".")[0])

    def is_running(self):
        return self.system.states[self.name] == "Running"

    def start(self):
        if self.is_running():
            return
        must("qvm-start", self.name)
        self.system.states = self.system.instance.rest()

    def write(self, mark):
        """it is flushed when this returns"""
        self.may |= {mark}
        must("qvm-run", "-p", "-u", "root", self.name, "echo %s >/rw/mark && sync" % mark)
        self.may = {mark}

    def read(self):
        """a daemon of it that was killed is on its way back, or the qube ends for want of it"""
        end = time.monotonic() + LIMIT_S
        while True:
            self.start()
            status, said = command("qvm-run", "-p", "-u", "root", self.name, "test ! -e /rw/mark || cat /rw/mark")
            if status == 0:
                return said
            if time.monotonic() > end:
                raise Wrong("%s does not answer: %d %s" % (self.name, status, said))
            time.sleep(0.2)
            self.system.states = self.system.instance.rest()

    def note_commit(self, mark):
        """a revision that is new has that mark"""
        self.committed.setdefault(self.newest, mark)

    def shut_down(self):
        if not self.is_running():
            return
        must("qvm-shutdown", "--wait", self.name)
        self.system.states = self.system.instance.rest()
        (mark,) = self.may
        self.note_commit(mark)

    def judge(self):
        mark = self.read()
        if mark not in self.may:
            raise Wrong("%s holds %r instead of one of %s (%s)" % (self.name, mark, self.may, sorted(os.listdir(self.folder))))
        self.may = {mark}


class System:
    def __init__(self, seed):
        self.random, self.seed = random.Random(seed), seed
        self.instance = Running()
        self.states = self.instance.rest()
        self.a, self.b = Qube(self, "a"), Qube(self, "b")
        self.image = self.instance.home + "/import.img"
        self.counted = {}

    def begin(self):
        """what is imported: the file system of a, with a mark of its own"""
        self.a.start()
        self.a.write("imported")
        self.a.shut_down()
        file = newest(self.a.folder)[1]
        run("qemu-img", "convert", "-O", "raw", file, self.image)
        self.b.start()
        busy = r"#!/bin/sh\n(while :; do dd if=/dev/urandom of=/rw/busy bs=64k count=20; sync; sleep 0.1; done) >/dev/null 2>&1 &\n"
        must("qvm-run", "-p", "-u", "root", "b", "mkdir -p /rw/config && cd /rw/config && printf '%s' >rc.local && chmod +x rc.local && sync" % busy)
        must("qvm-shutdown", "--wait", "b")

    # -- what is killed

    def processes(self):
        """kind: pids"""
        found = {}
        pids = run("bash", "-c", '. "$1/test/lib.bash" && instance_processes', "-", TOP).split()
        for p in pids:
            try:
                with open("/proc/%s/comm" % p) as f:
                    name = f.read().strip()
                with open("/proc/%s/cmdline" % p, "rb") as f:
                    argv = f.read().split(b"\0")
            except OSError:
                continue
            kind = {"qemu-system-x86": "a QEMU", "qube-monitor": "a monitor"}.get(name)
            if name in DAEMONS:
                kind = "a daemon"
            elif name == "qubesd":
                kind = "a job" if argv[1:2] == [b"--job"] else "qubesd"
            if kind:
                found.setdefault(kind, []).append(int(p))
        return found

    def strike(self):
        """what was killed"""
        wanted = self.random.choice(VICTIMS)
        found = self.processes()
        # a job is not always there, and somebody is
        kind = wanted if wanted in found else "qubesd"
        for pid in self.random.sample(found[kind], len(found[kind])):
            try:
                os.kill(pid, signal.SIGKILL)
                return kind
            except ProcessLookupError:
                continue
        return "nobody"

    # -- what is done to a: (argv, what it may hold then, what it holds if that is answered)

    def plan(self, act):
        a = self.a
        (mark,) = a.may
        if act in ("shutdown", "kill", "nothing"):
            a.start()
            a.write("%d" % self.n)
            mark = "%d" % self.n
            argv = {"shutdown": ["qvm-shutdown", "--wait", "a"], "kill": ["qvm-kill", "a"], "nothing": ["sleep", "1"]}[act]
            return argv, mark
        if act == "clone":
            return ["qvm-clone", "a", "c"], mark
        a.shut_down()
        if act == "start":
            must("qvm-prefs", "a", "fork", self.random.choice(("True", "True", "True", "False")))
            return ["qvm-start", "a"], mark
        if act == "import":
            return ["qvm-volume", "import", "a:private", self.image], "imported"
        listed = self.instance.call("admin.vm.volume.ListSnapshots+private", "a").split()
        known = [r for r in listed if int(r.split("-")[0]) in a.committed]
        if len(known) != len(listed):
            raise Wrong("a has revisions %s that nobody has seen being made: %s" % (listed, a.committed))
        if not known:
            return ["sleep", "1"], mark
        wanted = self.random.choice(known)
        return ["qvm-volume", "revert", "a:private", wanted], a.committed[int(wanted.split("-")[0])]

    def sums(self):
        """of all that is committed"""
        found = {}
        for path in glob.glob("%s/state/pools/default/vm/*/*/*" % self.instance.home):
            if re.fullmatch(r"[0-9]+\.(qcow2|img)", os.path.basename(path)):
                found[path] = sum_of(path)
        return found

    # -- what must be true afterwards

    def judge(self, act, sums, status, after):
        self.states = self.instance.rest()
        status_check, said = command("bulkhead", "check", "--json")
        if status_check != 0 or json.loads(said):
            raise Wrong("bulkhead check: %d\n%s" % (status_check, said))
        for path, was in sums.items():
            try:
                now = sum_of(path)
            except FileNotFoundError:
                continue
            if now[0] == was[0] and now[1] != was[1]:
                raise Wrong("%s has changed" % path)
        if act in ("shutdown", "revert", "import"):
            self.a.note_commit(after)
        self.a.judge()
        self.b.judge()
        if act == "clone":
            self.judge_clone(status)
        if self.random.random() < 0.3:
            # so that the next round has a clean end before it, and a revision more
            self.a.shut_down()

    def judge_clone(self, status):
        if "c" not in self.states:
            if status == 0:
                raise Wrong("the clone is not there, though it was said to be made")
            return
        c = Qube(self, "c")
        want = self.clone_of
        if status == 0:
            c.may = {want}
        else:
            # its volumes are cloned one after the other
            c.may = {want, ""}
        c.judge()
        must("qvm-kill", "c")
        self.states = self.instance.rest()
        must("qvm-remove", "-f", "c")
        self.states = self.instance.rest()

    def round(self, n):
        self.n = n
        self.random = random.Random("%d %d" % (self.seed, n))
        self.states = self.instance.rest()
        self.b.start()
        self.b.write("%d" % n)
        act = self.random.choice(sorted(TAKES_S))
        argv, after = self.plan(act)
        self.clone_of = self.a.committed[self.a.newest]
        self.a.may |= {after}
        sums = self.sums()
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(self.random.random() ** 2 * TAKES_S[act] * 1.2)
        what = self.strike()
        answered = p.poll() is not None
        said = "?"
        try:
            if what == "qubesd":
                must("bulkhead", "start")
            said = p.communicate(timeout=LIMIT_S)[0].strip()
            if p.returncode == 0:
                # an answer is kept, whoever was killed meanwhile
                self.a.may = {after}
            self.judge(act, sums, p.returncode, after)
        except Exception as e:
            print("round %d: %s, and %s killed%s; it said %r (%s): %s" % (n, " ".join(argv), what, " just behind it" if answered else "", said, p.poll(), e))
            raise
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()
        key = "%s and %s" % (act, what)
        self.counted[key] = self.counted.get(key, 0) + 1


def main():
    rounds, seed = int(sys.argv[1]), int(sys.argv[2])
    kept = sys.argv[3] if len(sys.argv) > 3 else None
    print("seed %d" % seed)
    system = System(seed)
    system.begin()
    for n in range(seed, seed + rounds):
        system.round(n)
        if kept:
            with open(kept, "a+") as f:
                f.seek(0)
                count = int(f.read() or 0) + 1
            with open(kept + ".new", "w") as f:
                f.write("%d\n" % count)
            os.rename(kept + ".new", kept)
    print(", ".join("%s: %d" % pair for pair in sorted(system.counted.items())))
    print("%d rounds passed" % rounds)


if __name__ == "__main__":
    main()
