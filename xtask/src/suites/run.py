"""Runs tests of CPython, one after the other, and logs the begin and the end of each.

    run.py LOG MODULE            lists the tests:   one line each
    run.py LOG MODULE ID ...     runs these tests:  BEGIN id / END id passed|skipped|failed reason
"""
import os
import sys
import unittest

log_path, module, *wanted = sys.argv[1:]
log = open(log_path, "a", buffering=1, encoding="utf-8", errors="replace")
own = os.getpid()


def write(line):
    if os.getpid() == own:
        log.write(line.replace("\n", " ") + "\n")


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.is_logged = False
        write(f"BEGIN {test.id()}")

    def log_end(self, test, result):
        # The first result of a test counts. Later ones come from its clean-up.
        if not getattr(self, "is_logged", True):
            self.is_logged = True
            write(f"END {test.id()} {result}")

    def stopTest(self, test):
        super().stopTest(test)
        self.log_end(test, "passed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.log_end(test, f"skipped {reason}")

    def addExpectedFailure(self, test, error):
        self.log_end(test, "passed")

    def addUnexpectedSuccess(self, test):
        self.log_end(test, "failed unexpected success")

    def fails(self, test, error):
        import traceback

        lines = traceback.format_exception_only(error[0], error[1])
        print(f"== {test.id()}", file=sys.stderr)
        traceback.print_exception(*error)
        self.log_end(test, "failed " + " ".join(lines)[:300])

    addError = addFailure = fails

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.fails(test, error)


from test import support

# No tests that use the network or gigabytes of memory.
support.use_resources = ["cpu"]
tests = list(flat(unittest.TestLoader().loadTestsFromName(module)))
if not wanted:
    for test in tests:
        print(test.id())
else:
    chosen = set(wanted)
    unittest.TestSuite(test for test in tests if test.id() in chosen).run(Result())
    write("OVER")
