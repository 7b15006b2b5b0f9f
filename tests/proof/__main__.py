"""Changes Derivation.v and Bptt.v in one line at a time, and checks that Coq does not accept the proof.

    python -m tests.proof [--jobs N]

The exit status is 1 if Coq accepts a change.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from lstm_oracle.verify.proof import NotProvenError, check, files, require_coq

# What is exchanged in a line, for something of the same shape, so that the change is not refused for its type alone.
CHANGES = {
    r" \+ (?=δ|i \*)": " * ",
    r" \* (?=δ|d?sigmoid|s\.|o in|\(1)": " + ",
    r"(?<= \* )dsigmoid": "dtanh",
    r"(?<= \* )dtanh": "dsigmoid",
    r"sigmoid (?=\()": "tanh ",
    r"tanh (?=\(|C)": "sigmoid ",
    r"@ \(p (\w)_f\)": r"@ (p \1_i)",
    r"@ \(p (\w)_[igo]\)": r"@ (p \1_f)",
    r"e13\b": "e14",
    r"e1[456]\b": "e13",
    r"e25\b": "e24",
    r"e11\b": "e12",
    r"e26\b": "e23",
    r"\(t \+ 1\)": "t",
    r"s\.\(f\)": "s.(i)",
    r"s\.\([igo]\)": "s.(f)",
    r"s\.\(tanh_C\)": "s.(C)",
    r"s\.\(h\)": "s.(C)",
    r"tape\.\(Tape\.f\) t;": "tape.(Tape.i) t;",
    r"tape\.\(Tape\.\w\) t;": "tape.(Tape.f) t;",
    r"tape\.\(Tape\.(Cs|tanh_C)\) t;": "tape.(Tape.hs) t;",
    r"tape\.\(Tape\.hs\) t;": "tape.(Tape.Cs) t;",
    r"h0 C0$": "C0 h0",
    r"\(dh t\) δ25 δ11": "(dh t) δ11 δ25",
    r":= dh_T": ":= dC_T",
    r":= dC_T": ":= dh_T",
    r"w \+ updates": "w * updates",
    r"1 - y\b": "1 + y",
    r"exp \(- z\)": "exp z",
    r"if q =\? t": "if t =? q + 1",
    r"Rtrigo_def\.tanh": "Rtrigo_def.sinh",
}


def changes(text: str) -> Iterator[tuple[str, str]]:
    """Yield every line that has something to exchange, as changed, and the whole text with it."""
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        for pattern, by in CHANGES.items():
            if re.search(pattern, line) and not line.startswith("(*"):
                changed = re.sub(pattern, by, line, count=1)
                yield changed.strip(), "".join([*lines[:index], changed, *lines[index + 1 :]])
                break


def accepted(texts: Mapping[str, str]) -> bool:
    """Return whether Coq accepts a proof."""
    try:
        check(texts, 300)
    except NotProvenError:
        return False
    return True


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="make proof-mutants", description="Change the proof in one line at a time.")
    parser.add_argument("--jobs", type=int, default=2, help="changes to try at a time, 2 by default")
    options = parser.parse_args()
    require_coq()
    texts = files()
    if not accepted(texts):
        sys.exit("Coq does not accept the proof as it is")
    mutants = [(name, *change) for name in ("Derivation.v", "Bptt.v") for change in changes(texts[name])]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda change: accepted(texts | {change[0]: change[2]}), mutants)
        survivors = [f"{name}: {line}" for (name, line, _), survives in zip(mutants, results, strict=True) if survives]
    print(f"{len(mutants)} lines changed, one at a time; Coq stopped at {len(mutants) - len(survivors)}.")
    for survivor in survivors:
        print(f"accepted: {survivor}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
