#!/bin/sh
# Counts, one number each second: the client receives each number as it is written.
case "$QUERY_STRING" in
    '' | *[!0-9]* | ????*)
        last=10
        ;;
    *)
        last=$QUERY_STRING
        ;;
esac
printf 'Content-Type: text/plain; charset=utf-8\nCache-Control: no-store\n\n'
number=1
while [ "$number" -le "$last" ]; do
    echo "$number"
    number=$((number + 1))
    [ "$number" -gt "$last" ] || sleep 1
done
