(** One step: its derivative along any direction, and the proof that the 26 lines and the updates are the adjoint of
    that derivative. *)

From Coq Require Import Reals Lra.
From LSTM Require Import Matrices Derivatives Derivation Probes.
Open Scope R_scope.

(** * The derivative of one step *)

Section Step.
Context {B D H : nat}.

(** The inner products of all weights, and of all edges. *)
Definition inner_params (p q : Params D H) : R := total weights (fun w => ⟨p w, q w⟩).
Definition inner_edges (δ a : Edges B D H) : R := total edges (fun n => ⟨δ n, a n⟩).

(** The derivative of the sum of a gate, whose inputs are x and h_prev. *)
Definition gate' (h_prev : mat B H) (x : mat B D) (W : mat H H) (U : mat D H)
    (h_prev' : mat B H) (x' : mat B D) (W' : mat H H) (U' : mat D H) (b' : mat 1 H) : mat B H :=
  ((h_prev' @ W + h_prev @ W') + (x' @ U + x @ U') +ᵇ b')%M.

(** A primed name is the derivative of the unprimed one; s holds the values at ε = 0. *)
Definition step' (p p' : Params D H) (a' : Edges B D H) (s : Step B D H) (x' : mat B D) (h_prev' C_prev' : mat B H)
    : Outputs B H := (
  let h_prev' := h_prev' + a' e25 in
  let x' := x' + a' e26 in
  let zf' := gate' s.(h_prev) s.(x) (p W_f) (p U_f)
    (h_prev' + a' e24) (x' + a' e23) (p' W_f) (p' U_f) (p' b_f) + a' e16 in
  let zi' := gate' s.(h_prev) s.(x) (p W_i) (p U_i)
    (h_prev' + a' e22) (x' + a' e21) (p' W_i) (p' U_i) (p' b_i) + a' e15 in
  let zg' := gate' s.(h_prev) s.(x) (p W_g) (p U_g)
    (h_prev' + a' e20) (x' + a' e19) (p' W_g) (p' U_g) (p' b_g) + a' e14 in
  let zo' := gate' s.(h_prev) s.(x) (p W_o) (p U_o)
    (h_prev' + a' e18) (x' + a' e17) (p' W_o) (p' U_o) (p' b_o) + a' e13 in
  let f' := zf' * dsigmoid s.(f) + a' e12 in
  let i' := zi' * dsigmoid s.(i) + a' e10 in
  let g' := zg' * dtanh s.(g) + a' e9 in
  let o' := zo' * dsigmoid s.(o) + a' e6 in
  let C' := ((C_prev' + a' e11) * s.(f) + s.(C_prev) * f') + (i' * s.(g) + s.(i) * g') + a' e8 in
  let tanh_C' := (C' + a' e7) * dtanh s.(tanh_C) + a' e5 in
  let h' := (tanh_C' * s.(o) + s.(tanh_C) * o') + a' e3 in
  {| h_out := h' + a' e1; h_next := h' + a' e2; C_next := C' + a' e4 |})%M.

Lemma derives_probe {m n} (A a : R -> mat m n) A' a' A0 :
  derives A A' A0 -> derives a a' zero -> derives (fun ε => A ε + a ε)%M (A' + a')%M A0.
Proof. intros EA Ea. rewrite <- (add_zero A0). now apply derives_add. Qed.

Lemma derives_sigmoid {m n} (A : R -> mat m n) A' A0 :
  derives A A' A0 -> derives (fun ε => sigmoid (A ε)) (A' * dsigmoid (sigmoid A0))%M (sigmoid A0).
Proof. apply (derives_map _ (fun y => y * (1 - y))), derive_sigmoid. Qed.

Lemma derives_tanh {m n} (A : R -> mat m n) A' A0 :
  derives A A' A0 -> derives (fun ε => tanh (A ε)) (A' * dtanh (tanh A0))%M (tanh A0).
Proof. apply (derives_map _ (fun y => 1 - y * y)), derive_tanh. Qed.

Lemma derives_step p p' p0 a a' x x' x0 h_prev h_prev' h0 C_prev C_prev' C0 :
  (forall w, derives (fun ε => p ε w) (p' w) (p0 w)) -> (forall n, derives (fun ε => a ε n) (a' n) zero) ->
  derives x x' x0 -> derives h_prev h_prev' h0 -> derives C_prev C_prev' C0 ->
  let q ε := probed_step (p ε) (a ε) (x ε) (h_prev ε) (C_prev ε) in
  let s := step p0 x0 h0 C0 in
  let q' := step' p0 p' a' s x' h_prev' C_prev' in
  derives (fun ε => (q ε).(h_out)) q'.(h_out) s.(h) /\
  derives (fun ε => (q ε).(h_next)) q'.(h_next) s.(h) /\
  derives (fun ε => (q ε).(C_next)) q'.(C_next) s.(C).
Proof.
  intros Ep Ea Ex Eh EC. unfold step', gate', probed_step. simpl.
  split; [|split]; repeat match goal with
  | |- derives (fun ε => sigmoid (@?A ε)) _ _ => apply (derives_sigmoid A)
  | |- derives (fun ε => tanh (@?A ε)) _ _ => apply (derives_tanh A)
  | |- derives (fun ε => (@?A ε + a ε ?n)%M) _ _ => apply (derives_probe A (fun ε => a ε n))
  | |- derives (fun ε => (@?A ε + @?E ε)%M) _ _ => apply (derives_add A E)
  | |- derives (fun ε => (@?A ε * @?E ε)%M) _ _ => apply (derives_mul A E)
  | |- derives (fun ε => (@?A ε @ @?W ε)%M) _ _ => apply (derives_matmul A W)
  | |- derives (fun ε => (@?A ε +ᵇ @?b ε)%M) _ _ => apply (derives_add_bias A b)
  | |- derives (fun ε => p ε ?w) _ _ => apply (Ep w)
  | |- derives (fun ε => a ε ?n) _ _ => apply (Ea n)
  | |- _ => assumption
  end.
Qed.

(** * Its adjoint *)

Lemma inner_gate (δ : mat B H) h_prev x W U h_prev' x' W' U' b' :
  ⟨δ, gate' h_prev x W U h_prev' x' W' U' b'⟩ =
  ⟨δ @ W^T, h_prev'⟩ + ⟨h_prev^T @ δ, W'⟩ + ⟨δ @ U^T, x'⟩ + ⟨x^T @ δ, U'⟩ + ⟨sum0 δ, b'⟩.
Proof.
  unfold gate'.
  rewrite inner_add_bias, !inner_add, (inner_matmul_l _ h_prev'), (inner_matmul_r _ h_prev).
  rewrite (inner_matmul_l _ x'), (inner_matmul_r _ x). ring.
Qed.

(** What is added before a factor receives the gradient times the factor; what is added after it, the gradient. *)
Lemma inner_branch {m n} (δ value' before' factor after' : mat m n) :
  ⟨δ, (value' + before') * factor + after'⟩ = ⟨δ * factor, value'⟩ + ⟨δ * factor, before'⟩ + ⟨δ, after'⟩.
Proof. now rewrite inner_add, inner_mul_l, inner_add. Qed.

Theorem adjoint_step p p' a' s x' h_prev' C_prev' (δ1 δ2 δ4 : mat B H) :
  let δ := deltas p s δ1 δ2 δ4 in
  let q' := step' p p' a' s x' h_prev' C_prev' in
  ⟨δ1, q'.(h_out)⟩ + ⟨δ2, q'.(h_next)⟩ + ⟨δ4, q'.(C_next)⟩ =
  inner_params (updates s δ) p' + ⟨δ e26, x'⟩ + ⟨δ e25, h_prev'⟩ + ⟨δ e11, C_prev'⟩ + inner_edges δ a'.
Proof.
  intros δ q'. unfold q', step'. cbn [h_out h_next C_next].
  set (zf' := gate' _ _ (p W_f) _ _ _ _ _ _). set (zi' := gate' _ _ (p W_i) _ _ _ _ _ _).
  set (zg' := gate' _ _ (p W_g) _ _ _ _ _ _). set (zo' := gate' _ _ (p W_o) _ _ _ _ _ _).
  set (f' := ((zf' + _) * _ + _)%M). set (i' := ((zi' + _) * _ + _)%M).
  set (g' := ((zg' + _) * _ + _)%M). set (o' := ((zo' + _) * _ + _)%M).
  set (c' := @add B H _ (a' e8)). set (t' := @add B H _ (a' e5)). set (h' := @add B H _ (a' e3)).
  (* Against the direction of the forward pass: the output, tanh, the cell, and then gate by gate. *)
  assert (E3 : ⟨δ1, h'⟩ + ⟨δ2, h'⟩ = ⟨δ e5, t'⟩ + ⟨δ e6, o'⟩ + ⟨δ e3, a' e3⟩).
  { rewrite <- inner_fork. change (δ1 + δ2)%M with (δ e3). unfold h'.
    rewrite !inner_add, inner_mul_l, inner_mul_r. reflexivity. }
  assert (E5 : ⟨δ e5, t'⟩ = ⟨δ e7, c'⟩ + ⟨δ e7, a' e7⟩ + ⟨δ e5, a' e5⟩) by apply inner_branch.
  assert (E8 : ⟨δ e7, c'⟩ + ⟨δ4, c'⟩ = ⟨δ e11, C_prev'⟩ + ⟨δ e11, a' e11⟩ + ⟨δ e12, f'⟩ + ⟨δ e10, i'⟩ + ⟨δ e9, g'⟩
    + ⟨δ e8, a' e8⟩).
  { rewrite <- inner_fork. change (δ e7 + δ4)%M with (δ e8). unfold c'.
    rewrite !(inner_add (δ e8)), (inner_mul_r _ s.(C_prev)), (inner_mul_r _ s.(i)), !(inner_mul_l (δ e8)).
    rewrite (inner_add _ C_prev').
    change (δ e8 * s.(f))%M with (δ e11). change (δ e8 * s.(C_prev))%M with (δ e12).
    change (δ e8 * s.(g))%M with (δ e10). change (δ e8 * s.(i))%M with (δ e9). cbn [width]. ring. }
  assert (Ef : ⟨δ e12, f'⟩ = ⟨δ e16, zf'⟩ + ⟨δ e16, a' e16⟩ + ⟨δ e12, a' e12⟩) by apply inner_branch.
  assert (Ei : ⟨δ e10, i'⟩ = ⟨δ e15, zi'⟩ + ⟨δ e15, a' e15⟩ + ⟨δ e10, a' e10⟩) by apply inner_branch.
  assert (Eg : ⟨δ e9, g'⟩ = ⟨δ e14, zg'⟩ + ⟨δ e14, a' e14⟩ + ⟨δ e9, a' e9⟩) by apply inner_branch.
  assert (Eo : ⟨δ e6, o'⟩ = ⟨δ e13, zo'⟩ + ⟨δ e13, a' e13⟩ + ⟨δ e6, a' e6⟩) by apply inner_branch.
  assert (E25 : forall A, ⟨δ e25, A⟩ = ⟨δ e18, A⟩ + ⟨δ e20, A⟩ + ⟨δ e22, A⟩ + ⟨δ e24, A⟩).
  { intros. change (δ e25) with (δ e18 + δ e20 + δ e22 + δ e24)%M. now rewrite !inner_fork. }
  assert (E26 : forall A, ⟨δ e26, A⟩ = ⟨δ e17, A⟩ + ⟨δ e19, A⟩ + ⟨δ e21, A⟩ + ⟨δ e23, A⟩).
  { intros. change (δ e26) with (δ e17 + δ e19 + δ e21 + δ e23)%M. now rewrite !inner_fork. }
  rewrite (inner_add δ1), (inner_add δ2), (inner_add δ4).
  unfold zf', zi', zg', zo' in Ef, Ei, Eg, Eo. rewrite inner_gate, !inner_add in Ef, Ei, Eg, Eo.
  change (δ e16 @ (p W_f)^T)%M with (δ e24) in Ef. change (δ e16 @ (p U_f)^T)%M with (δ e23) in Ef.
  change (δ e15 @ (p W_i)^T)%M with (δ e22) in Ei. change (δ e15 @ (p U_i)^T)%M with (δ e21) in Ei.
  change (δ e14 @ (p W_g)^T)%M with (δ e20) in Eg. change (δ e14 @ (p U_g)^T)%M with (δ e19) in Eg.
  change (δ e13 @ (p W_o)^T)%M with (δ e18) in Eo. change (δ e13 @ (p U_o)^T)%M with (δ e17) in Eo.
  unfold inner_params, inner_edges, total, weights, edges.
  rewrite E25, E26, E25, E26.
  change (δ e1) with δ1. change (δ e2) with δ2. change (δ e4) with δ4.
  cbn [updates width rows] in *. clearbody δ. lra.
Qed.
End Step.
