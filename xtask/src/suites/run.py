"""Runs tests of CPython's, one after the other, and writes of each how it began and ended.

    run.py LOG MODULE            names the tests:  one line each
    run.py LOG MODULE ID ...     runs these:       BEGIN id / END id passed|skipped|failed reason
"""
import os
import sys
import unittest

log_path, module, *wanted = sys.argv[1:]
log = open(log_path, "a", buffering=1, encoding="utf-8", errors="replace")
own = os.getpid()


def say(line):
    if os.getpid() == own:
        log.write(line.replace("\n", " ") + "\n")


def flat(suite):
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from flat(one)
        else:
            yield one


class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.told = False
        say(f"BEGIN {test.id()}")

    def tell(self, test, how):
        # The first word about a test counts; later ones come from its clean-up.
        if not getattr(self, "told", True):
            self.told = True
            say(f"END {test.id()} {how}")

    def stopTest(self, test):
        super().stopTest(test)
        self.tell(test, "passed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell(test, f"skipped {reason}")

    def addExpectedFailure(self, test, error):
        self.tell(test, "passed")

    def addUnexpectedSuccess(self, test):
        self.tell(test, "failed unexpected success")

    def fails(self, test, error):
        import traceback

        lines = traceback.format_exception_only(error[0], error[1])
        print(f"== {test.id()}", file=sys.stderr)
        traceback.print_exception(*error)
        self.tell(test, "failed " + " ".join(lines)[:300])

    addError = addFailure = fails

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.fails(test, error)


from test import support

# Nothing that asks the network or takes gigabytes.
support.use_resources = ["cpu"]
tests = list(flat(unittest.TestLoader().loadTestsFromName(module)))
if not wanted:
    for test in tests:
        print(test.id())
else:
    chosen = set(wanted)
    unittest.TestSuite(test for test in tests if test.id() in chosen).run(Result())
    say("OVER")
