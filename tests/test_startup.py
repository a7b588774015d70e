"""What a process is started again with, and what is left as the user has it."""

import os
import sys

import pytest

from nmt import startup


@pytest.fixture
def start(monkeypatch):
    """A function that tunes a process with this environment, and gives what it is started again with (None: it is not) and its own."""

    def run(**environment):
        started = []
        monkeypatch.setattr(os, "environ", environment)
        monkeypatch.setattr(os, "confstr_names", {"CS_GNU_LIBC_VERSION": 2}, raising=False)
        monkeypatch.setattr(os, "execv", lambda path, words: started.append((path, words, dict(environment))))
        startup.tune_process()
        return (started[0] if started else None), environment

    return run


def test_it_starts_again_once_with_its_words(start):
    (path, words, environment), _ = start(LANG="de")
    assert (path, words) == (sys.executable, [sys.executable, *sys.orig_argv[1:]])
    assert environment.items() >= {"LANG": "de", "NMT_ALLOCATOR": "keep", "GOMP_SPINCOUNT": "10000", **startup.ALLOCATOR}.items()
    assert start(**environment) == (None, environment)


@pytest.mark.parametrize(
    ("environment", "again", "spinning"),
    [
        ({"NMT_ALLOCATOR": "system"}, False, "10000"),
        ({"MALLOC_TOP_PAD_": "7"}, False, "10000"),
        ({"GOMP_SPINCOUNT": "11"}, True, "11"),
        ({"OMP_WAIT_POLICY": "active"}, True, None),
    ],
)
def test_what_the_environment_says_stays(start, environment, again, spinning):
    started, after = start(**environment)
    assert (started is not None) == again
    assert after.get("GOMP_SPINCOUNT") == spinning
    assert after.items() >= environment.items()
