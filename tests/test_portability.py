"""What uses models runs on Windows: nothing that only POSIX has, but behind a question for it."""

import ast
import os
from pathlib import Path

import pytest

from tests.test_rooms import FREE, PACKAGE

MODULES = {"fcntl", "grp", "pwd", "posix", "pty", "resource", "syslog", "termios", "tty"}
NAMES = {
    "os": {
        *("chown", "chroot", "ctermid", "fchmod", "fchown", "fork", "forkpty", "getegid"),
        *("geteuid", "getgid", "getgroups", "getloadavg", "getpgid", "getpgrp", "getsid"),
        *("getuid", "initgroups", "killpg", "lchown", "mkfifo", "nice", "posix_fadvise"),
        *(
            "posix_fallocate",
            "posix_spawn",
            "pread",
            "pwrite",
            "register_at_fork",
            "sched_getaffinity",
        ),
        *("sched_setaffinity", "sendfile", "setpgid", "setsid", "setuid", "statvfs", "sync"),
        *("sysconf", "uname", "wait", "wait3", "wait4", "WNOHANG"),
    },
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGSTOP", "SIGTSTP"),
        *("SIGUSR1", "SIGUSR2", "alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer"),
        *("siginterrupt", "sigpending", "sigtimedwait", "sigwait", "sigwaitinfo"),
    },
    "socket": {"AF_UNIX"},
    "time": {"tzset", "pthread_getcpuclockid"},
}
QUESTIONS = {"os.name", "sys.platform", "hasattr", "platform.system"}


def posix_only(source: str) -> list[str]:
    """What of a module only POSIX has and stands under no `if` that asks for the system."""
    found = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and any(q in ast.unparse(node.test) for q in QUESTIONS):
            return
        if isinstance(node, ast.Import):
            found.extend(x.name for x in node.names if x.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            names = [x.name for x in node.names]
            known = NAMES.get(node.module or "", set())
            found.extend(f"{node.module}.{x}" for x in names if x in known)
            found.extend([node.module] if node.module in MODULES else [])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in NAMES.get(node.value.id, set()):
                found.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Constant) and node.value in ("fork", "forkserver"):
            found.append(f"the start method '{node.value}'")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return found


def test_the_rooms_of_inference():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0].removesuffix(".py") in FREE:
            found[path.relative_to(PACKAGE).as_posix()] = posix_only(path.read_text())
    assert len(found) > 60
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import fcntl", ["fcntl"]),
        ("from os import fork", ["os.fork"]),
        ("def f():\n    os.statvfs('/')", ["os.statvfs"]),
        ("signal.signal(signal.SIGHUP, f)", ["signal.SIGHUP"]),
        ("get_context('fork')", ["the start method 'fork'"]),
        ("if os.name == 'posix':\n    os.nice(1)", []),
        ("if hasattr(signal, 'SIGHUP'):\n    signal.signal(signal.SIGHUP, f)", []),
        ("os.replace(a, b)\nsignal.SIGTERM", []),
    ],
)
def test_what_is_found(source, expected):
    assert posix_only(source) == expected


def test_the_table_names_what_there_is():
    if os.name == "posix":
        missing = {name for name in NAMES["os"] if not hasattr(os, name)}
        assert missing <= {"posix_fadvise", "posix_fallocate"}  # macOS


def test_memory_where_there_is_no_proc(monkeypatch):
    import torch

    from zoomin_d2.inference import memory

    for name in ("_STATUS", "_CLEAR", "_MEMINFO"):
        monkeypatch.setattr(memory, name, str(Path("no such folder") / name))
    monkeypatch.setattr(memory.sys, "platform", "win32")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: [][0])  # Windows wants a name
    cpu = torch.device("cpu")
    assert memory.free_memory(cpu) is None
    memory.release_memory(cpu)
    assert memory.measure_bytes_per_pixel(lambda *_: [], torch.rand(1, 3, 8, 8)) is None
