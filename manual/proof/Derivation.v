(** One step of the unit, forward and backward, line for line as in derivation.py.

    lines.txt has every line below beside the line of Python that says the same; there are no proofs in this file. *)

From Coq Require Import Reals List.
Import ListNotations.
From LSTM Require Import Matrices.
Open Scope R_scope.

(** * Weights, values and edges *)

Inductive weight := W_f | W_i | W_g | W_o | U_f | U_i | U_g | U_o | b_f | b_i | b_g | b_o.
Definition weights := [W_f; W_i; W_g; W_o; U_f; U_i; U_g; U_o; b_f; b_i; b_g; b_o].

(** The edges of the picture in DERIVATION.md. *)
Inductive edge :=
  e1 | e2 | e3 | e4 | e5 | e6 | e7 | e8 | e9 | e10 | e11 | e12 | e13 |
  e14 | e15 | e16 | e17 | e18 | e19 | e20 | e21 | e22 | e23 | e24 | e25 | e26.
Definition edges :=
  [e1; e2; e3; e4; e5; e6; e7; e8; e9; e10; e11; e12; e13;
   e14; e15; e16; e17; e18; e19; e20; e21; e22; e23; e24; e25; e26].

Section Unit.
Context {B D H : nat}.

(** A recurrent weight has H rows, an input weight has D, a bias is one row; every weight has H columns. *)
Definition rows (w : weight) : nat :=
  match w with W_f | W_i | W_g | W_o => H | U_f | U_i | U_g | U_o => D | b_f | b_i | b_g | b_o => 1%nat end.
Definition Params := forall w : weight, mat (rows w) H.

(** The values on the edges that carry x have D columns, all others H. *)
Definition width (n : edge) : nat := match n with e17 | e19 | e21 | e23 | e26 => D | _ => H end.
Definition Edges := forall n : edge, mat B (width n).

Record Step := {
  x : mat B D; h_prev : mat B H; C_prev : mat B H;
  f : mat B H; i : mat B H; g : mat B H; o : mat B H; C : mat B H; tanh_C : mat B H; h : mat B H }.

(** * The functions *)

Definition sigmoid {m n} : mat m n -> mat m n := map (fun z => 1 / (1 + exp (- z))).
Definition dsigmoid {m n} : mat m n -> mat m n := map (fun y => y * (1 - y)).
Definition dtanh {m n} : mat m n -> mat m n := map (fun y => 1 - y * y).
Definition tanh {m n} : mat m n -> mat m n := map Rtrigo_def.tanh.

(** * One step forward *)

Definition step (p : Params) (x : mat B D) (h_prev C_prev : mat B H) : Step := (
  let f := sigmoid (h_prev @ p W_f + x @ p U_f +ᵇ p b_f) in
  let i := sigmoid (h_prev @ p W_i + x @ p U_i +ᵇ p b_i) in
  let g := tanh (h_prev @ p W_g + x @ p U_g +ᵇ p b_g) in
  let o := sigmoid (h_prev @ p W_o + x @ p U_o +ᵇ p b_o) in
  let C := C_prev * f + i * g in
  let tanh_C := tanh C in
  let h := tanh_C * o in
  Build_Step x h_prev C_prev f i g o C tanh_C h)%M.

(** * One step backward *)

Definition deltas (p : Params) (s : Step) (δ1 δ2 δ4 : mat B H) : Edges := (
  let δ3 := δ1 + δ2 in
  let δ5 := δ3 * s.(o) in
  let δ6 := δ3 * s.(tanh_C) in
  let δ7 := δ5 * dtanh s.(tanh_C) in
  let δ8 := δ7 + δ4 in
  let δ9 := δ8 * s.(i) in
  let δ10 := δ8 * s.(g) in
  let δ11 := δ8 * s.(f) in
  let δ12 := δ8 * s.(C_prev) in
  let δ13 := δ6 * dsigmoid s.(o) in
  let δ14 := δ9 * dtanh s.(g) in
  let δ15 := δ10 * dsigmoid s.(i) in
  let δ16 := δ12 * dsigmoid s.(f) in
  let δ17 := δ13 @ (p U_o)^T in
  let δ18 := δ13 @ (p W_o)^T in
  let δ19 := δ14 @ (p U_g)^T in
  let δ20 := δ14 @ (p W_g)^T in
  let δ21 := δ15 @ (p U_i)^T in
  let δ22 := δ15 @ (p W_i)^T in
  let δ23 := δ16 @ (p U_f)^T in
  let δ24 := δ16 @ (p W_f)^T in
  let δ25 := δ18 + δ20 + δ22 + δ24 in
  let δ26 := δ17 + δ19 + δ21 + δ23 in
  fun n => match n return mat B (width n) with
  | e1 => δ1 | e2 => δ2 | e3 => δ3 | e4 => δ4 | e5 => δ5 | e6 => δ6 | e7 => δ7 | e8 => δ8 | e9 => δ9
  | e10 => δ10 | e11 => δ11 | e12 => δ12 | e13 => δ13 | e14 => δ14 | e15 => δ15 | e16 => δ16 | e17 => δ17
  | e18 => δ18 | e19 => δ19 | e20 => δ20 | e21 => δ21 | e22 => δ22 | e23 => δ23 | e24 => δ24 | e25 => δ25
  | e26 => δ26
  end)%M.

(** What one step contributes to the gradient of every weight. *)
Definition updates (s : Step) (δ : Edges) : Params := (
  fun w => match w return mat (rows w) H with
  | W_f => s.(h_prev)^T @ δ e16
  | W_i => s.(h_prev)^T @ δ e15
  | W_g => s.(h_prev)^T @ δ e14
  | W_o => s.(h_prev)^T @ δ e13
  | U_f => s.(x)^T @ δ e16
  | U_i => s.(x)^T @ δ e15
  | U_g => s.(x)^T @ δ e14
  | U_o => s.(x)^T @ δ e13
  | b_f => sum0 (δ e16)
  | b_i => sum0 (δ e15)
  | b_g => sum0 (δ e14)
  | b_o => sum0 (δ e13)
  end)%M.

End Unit.

Arguments Params : clear implicits.
Arguments Step : clear implicits.
Arguments Edges : clear implicits.
