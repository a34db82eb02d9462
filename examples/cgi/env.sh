#!/bin/sh
# Prints the environment of a script.
printf 'Content-Type: text/plain; charset=utf-8\n\n'
# From /proc, because the shell adds variables of its own.
tr '\0' '\n' < "/proc/$$/environ" | sort
