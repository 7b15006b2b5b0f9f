(** The three misprints of the source: with any one of them the loop does not compute the gradient of the loss. The
    counterexamples have one step, one batch row, one input and one unit. *)

From Coq Require Import Reals Lra List.
From Coquelicot Require Import Coquelicot.
From LSTM Require Import Matrices Derivatives Derivation Bptt Probes Step Time Correctness.
Open Scope R_scope.

(** The printed line of δ23 does not even fit the shape of x, unless D = H. *)
Fail Check (fun B D H (δ16 : mat B H) (p : Params D H) => (δ16 @ (p W_f)^T)%M : mat B D).

(** * The 26 lines, with one as printed *)

Section Printed.
Context {B D H : nat}.

(** δ8 = δ7 · δ4 instead of δ7 + δ4. The other lines do not use δ4, so that they are those of [deltas] if it is given
    δ7 · δ4 - δ7 as δ4. Only [δ e4] differs, which nothing reads. *)
Definition misprint_8 (p : Params D H) (s : Step B D H) (δ1 δ2 δ4 : mat B H) : Edges B D H :=
  let δ7 := deltas p s δ1 δ2 δ4 e7 in deltas p s δ1 δ2 (δ7 * δ4 + scale (-1) δ7)%M.

Lemma misprint_8_is_as_printed p s δ1 δ2 δ4 :
  let δ := misprint_8 p s δ1 δ2 δ4 in δ e8 = (δ e7 * δ4)%M.
Proof.
  #[local] Transparent add mul scale. apply mat_ext. intros j k. simpl. ring. #[local] Opaque add mul scale.
Qed.

(** δ22 = δ16 * W_iᵀ instead of δ15 * W_iᵀ. Only δ25 uses δ22. *)
Definition misprint_22 (p : Params D H) (s : Step B D H) (δ1 δ2 δ4 : mat B H) : Edges B D H := (
  let δ := deltas p s δ1 δ2 δ4 in
  let δ22 := δ e16 @ (p W_i)^T in
  fun n => match n return mat B (@width D H n) with
  | e22 => δ22
  | e25 => δ e18 + δ e20 + δ22 + δ e24
  | m => δ m
  end)%M.
End Printed.

(** δ23 = δ16 * W_fᵀ instead of δ16 * U_fᵀ, where D = H. Only δ26 uses δ23. *)
Definition misprint_23 {B H} (p : Params H H) (s : Step B H H) (δ1 δ2 δ4 : mat B H) : Edges B H H := (
  let δ := deltas p s δ1 δ2 δ4 in
  let δ23 := δ e16 @ (p W_f)^T in
  fun n => match n return mat B (@width H H n) with
  | e23 => δ23
  | e26 => δ e17 + δ e19 + δ e21 + δ23
  | m => δ m
  end)%M.

(** * Counterexamples *)

(** Whether, with these 26 lines, the loop of bptt.py computes the gradient of every loss. *)
Definition correct {B D H} (step_deltas : Params D H -> Step B D H -> mat B H -> mat B H -> mat B H -> Edges B D H) T :=
  forall p x h0 C0 dh dh_T dC_T p' x' h0' C0',
  is_derive (loss_along T p x h0 C0 dh dh_T dC_T p' x' h0' C0') 0
    (inner_gradients T (gradients_by step_deltas (run p x h0 C0 T) T dh dh_T dC_T) p' x' h0' C0').

Theorem derivation_is_correct B D H T : @correct B D H deltas T.
Proof. unfold correct. intros. apply backward_is_the_gradient. Qed.

(** A derivative has one value, so that correct lines agree with those of the derivation. *)
Lemma agrees {B D H} step_deltas T : @correct B D H step_deltas T ->
  forall p x h0 C0 dh dh_T dC_T p' x' h0' C0',
  let value lines := inner_gradients T (gradients_by lines (run p x h0 C0 T) T dh dh_T dC_T) p' x' h0' C0' in
  value step_deltas = value deltas.
Proof.
  intros E p x h0 C0 dh dh_T dC_T p' x' h0' C0' value.
  specialize (E p x h0 C0 dh dh_T dC_T p' x' h0' C0'). apply is_derive_unique in E.
  pose proof (derivation_is_correct B D H T p x h0 C0 dh dh_T dC_T p' x' h0' C0') as N. apply is_derive_unique in N.
  unfold value. now rewrite <- E, <- N.
Qed.

(** The recurrent weights of f and i are 1; all other weights, x and h0 are 0. *)
Definition number (r : R) : mat 1 1 := Mat (fun _ _ => r).
Definition p1 : Params 1 1 := fun w => match w with W_f | W_i => number 1 | _ => number 0 end.
Definition x1 : nat -> mat 1 1 := fun _ => number 0.

Lemma sigmoid_0 z : z = 0 -> 1 / (1 + exp (- z)) = / 2.
Proof. intros ->. rewrite Ropp_0, exp_0. field. Qed.

Lemma tanh_0 z : z = 0 -> Rtrigo_def.tanh z = 0.
Proof. intros ->. unfold Rtrigo_def.tanh, sinh. rewrite Ropp_0. unfold Rdiv. ring. Qed.

#[local] Transparent zero add mul matmul transpose add_bias sum0 map scale inner.

Ltac evaluate E := unfold inner_gradients, inner_params, inner in E; simpl in E;
  repeat match type of E with context [1 / (1 + exp (- ?z))] => rewrite (sigmoid_0 z) in E by ring end;
  repeat match type of E with context [Rtrigo_def.tanh ?z] =>
    rewrite (tanh_0 z) in E by (repeat rewrite tanh_0 by ring; ring) end.

(** Where δ4 is 0 the product is 0: dC0 vanishes, although the loss depends on C0. *)
Theorem erratum_1_is_wrong : ~ @correct 1 1 1 misprint_8 1.
Proof.
  intros E. pose proof (agrees _ _ E p1 x1 (number 0) (number 0) (fun _ => number 1) (number 0) (number 0)
    no_weight no_x zero (number 1)) as N.
  cbv zeta in N. evaluate N. lra.
Qed.

(** dh0 receives from gate i what belongs to gate f. *)
Theorem erratum_2_is_wrong : ~ @correct 1 1 1 misprint_22 1.
Proof.
  intros E. pose proof (agrees _ _ E p1 x1 (number 0) (number 1) (fun _ => number 0) (number 0) (number 1)
    no_weight no_x (number 1) zero) as N.
  cbv zeta in N. evaluate N. lra.
Qed.

(** dx receives what passes through W_f, although x does not. *)
Theorem erratum_3_is_wrong : ~ @correct 1 1 1 misprint_23 1.
Proof.
  intros E. pose proof (agrees _ _ E p1 x1 (number 0) (number 1) (fun _ => number 0) (number 0) (number 1)
    no_weight (fun _ => number 1) zero zero) as N.
  cbv zeta in N. evaluate N. lra.
Qed.

(** * What the third misprint spoils *)

#[local] Opaque zero add mul matmul transpose add_bias sum0 map scale inner.

Theorem erratum_3_spoils_dx_alone {B H} (tape : Tape.Tape B H H) T dh dh_T dC_T :
  let G := gradients tape T dh dh_T dC_T in
  let G3 := gradients_by misprint_23 tape T dh dh_T dC_T in
  G3.(Gradients.params) = G.(Gradients.params) /\ G3.(Gradients.h0) = G.(Gradients.h0) /\
  G3.(Gradients.C0) = G.(Gradients.C0).
Proof.
  assert (E : forall (A A3 : Gradients.Gradients B H H) δ25 δ11,
    A3.(Gradients.params) = A.(Gradients.params) -> A3.(Gradients.h0) = A.(Gradients.h0) ->
    A3.(Gradients.C0) = A.(Gradients.C0) ->
    let N := fold_left accumulate (steps_back deltas tape dh T δ25 δ11) A in
    let N3 := fold_left accumulate (steps_back misprint_23 tape dh T δ25 δ11) A3 in
    N3.(Gradients.params) = N.(Gradients.params) /\ N3.(Gradients.h0) = N.(Gradients.h0) /\
    N3.(Gradients.C0) = N.(Gradients.C0)).
  { induction T as [|t IH]; intros A A3 δ25 δ11 Ep Eh EC; [now repeat split|].
    apply IH; [simpl; now rewrite Ep|reflexivity|reflexivity]. }
  apply E; reflexivity.
Qed.
