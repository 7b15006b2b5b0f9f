"""`make proof-mutants`: whether Coq notices a change of any line of the derivation or the loop in the proof."""
