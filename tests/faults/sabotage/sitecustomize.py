"""Python imports this at its start where this folder is on PYTHONPATH: faults from within.

``SABOTAGE`` holds ``who:what:number`` and strikes processes whose command line has ``who`` in it:

- ``fsync:3``: kill −9 in the middle of the third file that is written
- ``replace:3``: kill −9 just before the third file is put in its place
- ``disk:9``: no file may grow beyond 9 kB, as on a full disk
- ``full:3``: the disk is full when the third file has been written
- ``signal:9``: signal 9 at the start
- ``exit:3``: exit code 3 at the start, without a word
- ``missing:numpy``: a package that is not there
- ``clock:3600``: the clock goes back an hour each time somebody reads it

Whom it has struck stands in the file ``$SABOTAGED``.
"""

import errno
import os
import resource
import signal
import sys
import time

_who, _what, _number = os.environ.get("SABOTAGE", "nobody::0").split(":")


def _kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def _fill(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _striking(strike, function, number):
    calls = iter(range(1, number + 1))

    def striking(*arguments, **options):
        if next(calls, 0) == number:
            strike()
        return function(*arguments, **options)

    return striking


if _who in " ".join(sys.orig_argv):
    with open(os.environ["SABOTAGED"], "a") as _file:
        _file.write(" ".join(sys.orig_argv) + "\n")
    if _what in ("fsync", "replace"):
        setattr(os, _what, _striking(_kill, getattr(os, _what), int(_number)))
    elif _what == "full":
        os.fsync = _striking(_fill, os.fsync, int(_number))
    elif _what == "signal":
        os.kill(os.getpid(), int(_number))
    elif _what == "exit":
        os._exit(int(_number))
    elif _what == "missing":
        sys.modules[_number] = None
    elif _what == "disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(_number) * 1000,) * 2)
    elif _what == "clock":
        _time, _readings = time.time, iter(range(10**9))
        time.time = lambda: _time() - int(_number) * next(_readings)
