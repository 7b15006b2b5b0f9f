"""The LSTMs to judge: callables, child processes, programs and known packages, and what they do when called."""
