"""One contender in a process of its own: reads requests from standard input, answers with seconds of `clock`."""

from __future__ import annotations

import json
import sys

from tests.benchmarks.contenders import ABLATIONS, CONTENDERS, Work, clock, pin


def main(name: str) -> None:
    """Answer each line: work to prepare, or how many times to call it, after one call that is not timed."""
    call, seconds = None, clock()
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, dict):
            call = (CONTENDERS | ABLATIONS)[name](Work(**request))
            answer = call is not None
            if call:
                call()
                call()
        else:
            assert call
            call()  # for its own caches and memory
            start = seconds()
            for _ in range(request):
                call()
            answer = (seconds() - start) / request
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if "pinned" in sys.argv:
        pin()
    main(sys.argv[1])
