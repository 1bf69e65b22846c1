"""A client of the Admin API as Qubes' own library is one in dom0: its paths and its ways, and nothing of an instance.

    qubes-client.py METHOD DEST [ARG [PAYLOAD]]     the answer's bytes on standard output
    qubes-client.py --stream METHOD DEST ARG FILE   what comes as a stream goes by the service of that name
    qubes-client.py --run DEST COMMAND              a command in a qube, by /usr/lib/qubes/qrexec-client

It thinks that it is in dom0 if there is an /etc/qubes-release. Exit code: 0 for a result, 1 for an exception, 3 for an empty
answer, 4 if it is not in dom0.
"""
import os
import socket
import subprocess
import sys


def by_socket(method, dest, arg="", payload=""):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect("/var/run/qubesd.sock")
        s.sendall(f"{method}+{arg} dom0 name {dest}\0{payload}".encode())
        s.shutdown(socket.SHUT_WR)
        return s.makefile("rb").read()


def by_service(method, dest, arg, path):
    command = ["env", "QREXEC_REMOTE_DOMAIN=dom0", "QREXEC_REQUESTED_TARGET=" + dest,
               os.path.join("/etc/qubes-rpc", method), arg]
    if os.getuid() != 0:
        command.insert(0, "sudo")
    with open(path, "rb") if path != "-" else os.fdopen(0, "rb") as stream:
        return subprocess.run(command, stdin=stream, stdout=subprocess.PIPE, check=False).stdout


def run(dest, command):
    by_socket("admin.vm.Start", dest)
    return subprocess.run(["/usr/lib/qubes/qrexec-client", "-d", dest, "DEFAULT:" + command], check=False).returncode


def main(words):
    if not os.path.exists("/etc/qubes-release"):
        return 4
    if words[0] == "--run":
        return run(*words[1:])
    answer = by_service(*words[1:]) if words[0] == "--stream" else by_socket(*words)
    sys.stdout.buffer.write(answer)
    return {b"0\0": 0, b"2\0": 1}.get(answer[:2], 3)


sys.exit(main(sys.argv[1:]))
