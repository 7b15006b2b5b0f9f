"""Programs in which several mistakes were seen together.

Three mistakes that each change every output hide one another: correcting one or two of them makes no output right, so
that a search that adds one or two mistakes at a time makes no progress. The search therefore tries the mistakes of
these programs together, three or more at a time.
"""

from __future__ import annotations

from lstm_oracle.diagnosis.bugs.entry import R_PACKAGE

KNOWN_PROGRAMS: dict[str, tuple[str, ...]] = {  # by the place where each was seen: the ids of its mistakes
    R_PACKAGE: (
        "bias_recycled",
        "dh_through_sigmoid",
        "dtanh_of_C",
        "weights_before_activation",
        "bias_mean_over_batch",
    ),
    "hanbt/learn_dl:lstm.py": ("no_cell_carry", "dU_of_last_step", "db_i_is_db_f", "db_o_is_db_f"),
    "illlilililiililll/AP-CS-LSTM-JAVA-:src/LSTM.java": (
        "truncated_1",
        "delta_3_for_delta_8",
        "dtanh_of_value",
        "dsigmoid_of_value",
    ),
    "evelyne96/LSTM:LSTM.py": ("candidate_by_sigmoid", "dtanh_of_C", "dh_prev_is_dh", "gradients_clipped_1"),
}
