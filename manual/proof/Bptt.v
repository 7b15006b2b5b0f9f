(** The unit over time, forward and backward, line for line as in bptt.py.

    lines.txt has every line below beside the line of Python that says the same; there are no proofs in this file. An
    array over time is a function of t, an assignment to one of its entries a call of [set]. A loop over t < T is a
    recursive function of T, and the generator steps_back is a list. *)

From Coq Require Import Arith List.
From LSTM Require Import Matrices Derivation.
Open Scope nat_scope.

(** The array a after the assignment a[t] = value. *)
Definition set {A} (a : nat -> A) (t : nat) (value : A) : nat -> A := fun q => if q =? t then value else a q.

Module Tape.
  Record Tape {B D H : nat} := {
    params : Params D H; x : nat -> mat B D; hs : nat -> mat B H; Cs : nat -> mat B H;
    f : nat -> mat B H; i : nat -> mat B H; g : nat -> mat B H; o : nat -> mat B H; tanh_C : nat -> mat B H }.
  Arguments Tape : clear implicits.
End Tape.

Module Gradients.
  Record Gradients {B D H : nat} := { params : Params D H; x : nat -> mat B D; h0 : mat B H; C0 : mat B H }.
  Arguments Gradients : clear implicits.
End Gradients.

Import Tape(Tape) Gradients(Gradients).

Section Time.
Context {B D H : nat}.

(** * Forward *)

(** Where the arrays of Python are not initialised, those here are zero. *)
Definition empty_tape (p : Params D H) (x : nat -> mat B D) (h0 C0 : mat B H) : Tape B D H :=
  let array := fun _ => zero in
  Tape.Build_Tape _ _ _ p x (set array 0 h0) (set array 0 C0) array array array array array.

Fixpoint run (params : Params D H) (x : nat -> mat B D) (h0 C0 : mat B H) (T : nat) : Tape B D H :=
  match T with
  | O => empty_tape params x h0 C0
  | S t =>
      let tape := run params x h0 C0 t in
      let s := step params (x t) (tape.(Tape.hs) t) (tape.(Tape.Cs) t) in
      {| Tape.params := tape.(Tape.params);
         Tape.x := tape.(Tape.x);
         Tape.f := set tape.(Tape.f) t s.(f);
         Tape.i := set tape.(Tape.i) t s.(i);
         Tape.g := set tape.(Tape.g) t s.(g);
         Tape.o := set tape.(Tape.o) t s.(o);
         Tape.Cs := set tape.(Tape.Cs) (t + 1) s.(C);
         Tape.tanh_C := set tape.(Tape.tanh_C) t s.(tanh_C);
         Tape.hs := set tape.(Tape.hs) (t + 1) s.(h) |}
  end.

(** The values of step t, as stored. *)
Definition step_of (tape : Tape B D H) (t : nat) : Step B D H :=
  {| x := tape.(Tape.x) t;
     h_prev := tape.(Tape.hs) t;
     C_prev := tape.(Tape.Cs) t;
     f := tape.(Tape.f) t;
     i := tape.(Tape.i) t;
     g := tape.(Tape.g) t;
     o := tape.(Tape.o) t;
     C := tape.(Tape.Cs) (t + 1);
     tanh_C := tape.(Tape.tanh_C) t;
     h := tape.(Tape.hs) (t + 1) |}.

(** * Backward *)

(** The 26 lines: [deltas], or in Misprints.v a version with a misprint. *)
Variable step_deltas : Params D H -> Step B D H -> mat B H -> mat B H -> mat B H -> Edges B D H.

(** The index, the values and the edges of every step, from the last to the first. *)
Fixpoint steps_back (tape : Tape B D H) (dh : nat -> mat B H) (T : nat) (δ25 δ11 : mat B H)
    : list (nat * Step B D H * Edges B D H) :=
  match T with
  | O => nil
  | S t =>
      let s := step_of tape t in
      let δ := step_deltas tape.(Tape.params) s (dh t) δ25 δ11 in
      let δ25 := δ e25 in
      let δ11 := δ e11 in
      (t, s, δ) :: steps_back tape dh t δ25 δ11
  end.

(** What the loop of gradients does with one step. *)
Definition accumulate (G : Gradients B D H) '((t, s, δ) : nat * Step B D H * Edges B D H) : Gradients B D H :=
  {| Gradients.params := fun w => (G.(Gradients.params) w + updates s δ w)%M;
     Gradients.x := set G.(Gradients.x) t (δ e26);
     Gradients.h0 := δ e25;
     Gradients.C0 := δ e11 |}.

Definition gradients_by (tape : Tape B D H) (T : nat) (dh : nat -> mat B H) (dh_T dC_T : mat B H)
    : Gradients B D H :=
  fold_left accumulate (steps_back tape dh T dh_T dC_T)
    {| Gradients.params := fun w => zero;
       Gradients.x := fun _ => zero;
       Gradients.h0 := dh_T;
       Gradients.C0 := dC_T |}.

End Time.

Definition gradients {B D H} := @gradients_by B D H deltas.
Definition all_deltas {B D H} (tape : Tape B D H) (T : nat) (dh : nat -> mat B H) (dh_T dC_T : mat B H)
    : list (Edges B D H) :=
  rev (List.map (fun '(t, s, δ) => δ) (steps_back deltas tape dh T dh_T dC_T)).
