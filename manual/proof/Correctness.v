(** What is proven, and what is not.

    Proven, for all numbers of steps T, batch rows B, inputs D and units H, 0 included, and for all real weights,
    inputs, initial states and upstream gradients: the gradients that the loop of bptt.py computes with the 26 lines
    and the updates of derivation.py are the gradient of the loss. The loss is any differentiable function of the
    outputs h[t], h_T and C_T whose gradient there is dh, dh_T and dC_T.

    - [backward_is_the_gradient]: along any direction, the derivative of the loss is the inner product of the gradients
      and the direction.
    - [every_entry]: dW_f[j, k] is the partial derivative of the loss with respect to W_f[j, k], and likewise for every
      other weight, x, h0 and C0.
    - [every_edge]: every number in δ1 to δ26 is the derivative of the loss with respect to a number added to that entry
      of the value on that edge. Where nothing is added, it is the loss of the unit ([loss_without_probes]).
    - [every_loss]: the same for every differentiable loss, along every differentiable curve of weights, input and
      initial states. The first three are about a loss that is linear in the outputs.

    Misprints.v proves that with any one misprint of the source the loop does not compute the gradient of every loss:
    each has a counterexample with T = B = D = H = 1.

    Not proven: anything about floating-point numbers, which round and overflow; that NumPy's operators compute what
    Matrices.v says, and that the arrays of a tape and the weights W_f to b_o are views of larger arrays; the checks of
    arguments; and manual.fused, which stacks the gates and reorders the products. Tests and ball arithmetic cover
    these. That Derivation.v and Bptt.v say what derivation.py and bptt.py say is not proven either: lines.txt has all
    four side by side, and the test suite compares them with it.

    Notation: [is_derive f z d], of Coquelicot, says that f is differentiable at z, with derivative d, and
    [derives A A' A0] that the matrix A ε is A0 at ε = 0, and that A' holds the derivatives of its entries there. Σ n a
    is a 0 + … + a (n - 1), and ⟨A, B⟩ the sum of the products of corresponding entries. A prime marks a derivative or a
    direction, and A^T is the transpose. %M and %nat only say to which type an operator belongs. [nth t l d] is
    element t of the list l. *)

From Coq Require Import Reals Lra Lia List FunctionalExtensionality.
From Coquelicot Require Import Coquelicot.
From LSTM Require Import Matrices Derivatives Derivation Bptt Probes Step Time.
Open Scope R_scope.

(** * The loss *)

(** The loss that is linear in the outputs, with coefficients dh, dh_T and dC_T, which are therefore its gradient.
    [every_loss] carries the result over to every other loss. *)
Definition loss {B H} (dh : nat -> mat B H) (dh_T dC_T : mat B H) (T : nat)
    (hs : nat -> mat B H) (h_T C_T : mat B H) : R :=
  Σ T (fun t => ⟨dh t, hs t⟩) + ⟨dh_T, h_T⟩ + ⟨dC_T, C_T⟩.

(** The loss L of the outputs h[t], h_T and C_T of the unit, as a function of weights, input and initial states. *)
Definition loss_of_unit {B D H} (L : (nat -> mat B H) -> mat B H -> mat B H -> R) (T : nat)
    (p : Params D H) (x : nat -> mat B D) (h0 C0 : mat B H) : R :=
  let tape := run p x h0 C0 T in
  L (fun t => tape.(Tape.hs) (t + 1)%nat) (tape.(Tape.hs) T) (tape.(Tape.Cs) T).

(** The inner product of the gradients and a direction. *)
Definition inner_gradients {B D H} (T : nat) (G : Gradients.Gradients B D H)
    (p' : Params D H) (x' : nat -> mat B D) (h0' C0' : mat B H) : R :=
  inner_params G.(Gradients.params) p' + Σ T (fun t => ⟨G.(Gradients.x) t, x' t⟩)
  + ⟨G.(Gradients.h0), h0'⟩ + ⟨G.(Gradients.C0), C0'⟩.

(** * Every differentiable loss *)

(** dh, dh_T and dC_T are the gradient of L at the outputs hs, h_T and C_T: along every differentiable curve through
    them, the derivative of L is the inner product of the gradient and the derivatives of the outputs. *)
Definition gradient_at {B H} (L : (nat -> mat B H) -> mat B H -> mat B H -> R) (T : nat)
    (hs : nat -> mat B H) (h_T C_T : mat B H) dh dh_T dC_T : Prop :=
  forall (y : R -> nat -> mat B H) y' (u : R -> mat B H) u' (v : R -> mat B H) v',
  (forall t, (t < T)%nat -> derives (fun ε => y ε t) (y' t) (hs t)) -> derives u u' h_T -> derives v v' C_T ->
  is_derive (fun ε => L (y ε) (u ε) (v ε)) 0 (Σ T (fun t => ⟨dh t, y' t⟩) + ⟨dh_T, u'⟩ + ⟨dC_T, v'⟩).

Theorem every_loss {B D H} (L : (nat -> mat B H) -> mat B H -> mat B H -> R) T (dh : nat -> mat B H) dh_T dC_T
    (p : R -> Params D H) p' p0 (x : R -> nat -> mat B D) x' x0
    (h0 : R -> mat B H) h0' h00 (C0 : R -> mat B H) C0' C00 :
  (forall w, derives (fun ε => p ε w) (p' w) (p0 w)) -> (forall t, derives (fun ε => x ε t) (x' t) (x0 t)) ->
  derives h0 h0' h00 -> derives C0 C0' C00 ->
  let tape := run p0 x0 h00 C00 T in
  gradient_at L T (fun t => tape.(Tape.hs) (t + 1)%nat) (tape.(Tape.hs) T) (tape.(Tape.Cs) T) dh dh_T dC_T ->
  is_derive (fun ε => loss_of_unit L T (p ε) (x ε) (h0 ε) (C0 ε)) 0
    (inner_gradients T (gradients tape T dh dh_T dC_T) p' x' h0' C0').
Proof.
  intros Ep Ex Eh EC tape E.
  assert (Ea : forall (t : nat) n, derives (fun ε => @no_probes B D H n) (no_probes n) zero)
    by (intros; apply derives_constant).
  pose proof (adjoint_time p' p0 x' x0 h0' h00 C0' C00 (fun _ => no_probes) dh T dh_T dC_T) as A. cbv zeta beta in A.
  rewrite (Σ_zero T (fun t => inner_edges (nth t _ _) no_probes)), Rplus_0_r in A
    by (intros; unfold inner_edges, total, edges, no_probes; rewrite !inner_zero_r; ring).
  pose proof (derives_states p x h0 C0 (fun _ _ => no_probes) p' p0 x' x0 h0' h00 C0' C00 (fun _ => no_probes)
    Ep Ex Eh EC Ea) as N.
  eapply derives_eq; [|exact A]. apply E.
  - intros t L'. unfold tape. rewrite (proj1 (run_states p0 x0 h00 C00 T (t + 1) ltac:(lia))), Nat.add_1_r.
    eapply derives_ext; [|apply (derives_outputs p x h0 C0 (fun _ _ => no_probes) p' p0 x' x0 h0' h00 C0' C00
      (fun _ => no_probes) Ep Ex Eh EC Ea t)].
    intros ε. cbv beta. rewrite (proj1 (run_states (p ε) (x ε) (h0 ε) (C0 ε) T (S t) ltac:(lia))).
    apply outputs_without_probes.
  - eapply derives_ext; [|apply N]. intros ε. apply states_without_probes.
  - eapply derives_ext; [|apply N]. intros ε. apply states_without_probes.
Qed.

(** * Along any direction *)

(** The loss where weights, input and initial states move by ε times p', x', h0' and C0'. *)
Definition loss_along {B D H} (T : nat) (p : Params D H) (x : nat -> mat B D) (h0 C0 : mat B H)
    (dh : nat -> mat B H) (dh_T dC_T : mat B H)
    (p' : Params D H) (x' : nat -> mat B D) (h0' C0' : mat B H) (ε : R) : R :=
  loss_of_unit (loss dh dh_T dC_T T) T
    (fun w => p w + scale ε (p' w))%M (fun t => x t + scale ε (x' t))%M (h0 + scale ε h0')%M (C0 + scale ε C0')%M.

Lemma gradient_of_loss {B H} (dh : nat -> mat B H) dh_T dC_T T hs h_T C_T :
  gradient_at (loss dh dh_T dC_T T) T hs h_T C_T dh dh_T dC_T.
Proof.
  intros y y' u u' v v' Ey Eu Ev. unfold loss.
  apply derive_plus; [apply derive_plus|].
  - apply (derive_Σ T (fun ε t => ⟨dh t, y ε t⟩)). intros t L. exact (derive_inner _ (fun ε => y ε t) _ _ (Ey t L)).
  - exact (derive_inner _ _ _ _ Eu).
  - exact (derive_inner _ _ _ _ Ev).
Qed.

Theorem backward_is_the_gradient (T B D H : nat)
    (p : Params D H) (x : nat -> mat B D) (h0 C0 : mat B H)
    (dh : nat -> mat B H) (dh_T dC_T : mat B H)
    (p' : Params D H) (x' : nat -> mat B D) (h0' C0' : mat B H) :
  let G := gradients (run p x h0 C0 T) T dh dh_T dC_T in
  is_derive (loss_along T p x h0 C0 dh dh_T dC_T p' x' h0' C0') 0 (inner_gradients T G p' x' h0' C0').
Proof.
  apply (every_loss (loss dh dh_T dC_T T) T dh dh_T dC_T _ p' p _ x' x _ h0' h0 _ C0' C0);
    try (intros; apply derives_line). apply gradient_of_loss.
Qed.

Section Entries.
Context {B D H : nat}.
Variables (T : nat) (p : Params D H) (x : nat -> mat B D) (h0 C0 : mat B H).
Variables (dh : nat -> mat B H) (dh_T dC_T : mat B H).
Let tape := run p x h0 C0 T.
Let G := gradients tape T dh dh_T dC_T.
Let along := loss_along T p x h0 C0 dh dh_T dC_T.

(** * Every entry *)

Definition same_weight (v w : weight) : {v = w} + {v <> w}.
Proof. decide equality. Defined.

(** The directions along which one number moves: an entry of a weight, of x at step t, of h0 or C0. *)
Definition weight_entry (w : weight) (j k : nat) : Params D H :=
  fun v => if same_weight v w then single_entry j k else zero.
Definition x_entry (t j k : nat) : nat -> mat B D := fun q => if Nat.eqb q t then single_entry j k else zero.

(** The directions along which no weight moves, and no x. *)
Definition no_weight : Params D H := fun w => zero.
Definition no_x : nat -> mat B D := fun t => zero.

Lemma inner_no_weight (q : Params D H) : inner_params q no_weight = 0.
Proof. unfold inner_params, total, weights, no_weight. rewrite !inner_zero_r. ring. Qed.

Lemma inner_no_x (y : nat -> mat B D) : Σ T (fun t => ⟨y t, no_x t⟩) = 0.
Proof. apply Σ_zero. intros. apply inner_zero_r. Qed.

Theorem every_entry :
  (forall w j k, (j < @rows D H w)%nat -> (k < H)%nat ->
    is_derive (along (weight_entry w j k) no_x zero zero) 0 (G.(Gradients.params) w j k)) /\
  (forall t j k, (t < T)%nat -> (j < B)%nat -> (k < D)%nat ->
    is_derive (along no_weight (x_entry t j k) zero zero) 0 (G.(Gradients.x) t j k)) /\
  (forall j k, (j < B)%nat -> (k < H)%nat ->
    is_derive (along no_weight no_x (single_entry j k) zero) 0 (G.(Gradients.h0) j k)) /\
  (forall j k, (j < B)%nat -> (k < H)%nat ->
    is_derive (along no_weight no_x zero (single_entry j k)) 0 (G.(Gradients.C0) j k)).
Proof.
  split; [|split; [|split]]; intros; (eapply derives_eq; [apply backward_is_the_gradient|]); cbv zeta;
    fold tape; fold G; unfold inner_gradients; rewrite ?inner_no_weight, ?inner_no_x, ?inner_zero_r.
  - rewrite <- (inner_single_entry (G.(Gradients.params) w) j k) by assumption.
    unfold inner_params, total, weights, weight_entry. destruct w; simpl; rewrite !inner_zero_r; ring.
  - rewrite (Σ_single T t);
      [|assumption|intros q N; unfold x_entry; apply Nat.eqb_neq in N; rewrite N; apply inner_zero_r].
    unfold x_entry. rewrite Nat.eqb_refl, inner_single_entry by assumption. ring.
  - rewrite inner_single_entry by assumption. ring.
  - rewrite inner_single_entry by assumption. ring.
Qed.

(** * Every edge *)

(** The loss of the unit with ε times a' added to the values on its edges. *)
Definition loss_with_probes (a' : nat -> Edges B D H) (ε : R) : R :=
  let a t n := scale ε (a' t n) in
  loss dh dh_T dC_T T
    (fun t => (probed_outputs p a x h0 C0 t).(h_out)) (probed_h p a x h0 C0 T) (probed_C p a x h0 C0 T).

Definition same_edge (m n : edge) : {m = n} + {m <> n}.
Proof. decide equality. Defined.

(** 1 added to entry j, k of the value on edge n of step t. *)
Definition edge_entry (t : nat) (n : edge) (j k : nat) : nat -> Edges B D H :=
  fun q m => if Nat.eqb q t then if same_edge m n then single_entry j k else zero else zero.

Theorem every_edge t n j k : (t < T)%nat -> (j < B)%nat -> (k < @width D H n)%nat ->
  is_derive (loss_with_probes (edge_entry t n j k)) 0 (nth t (all_deltas tape T dh dh_T dC_T) no_probes n j k).
Proof.
  intros Lt Lj Lk. set (a' := edge_entry t n j k).
  pose proof (adjoint_time no_weight p no_x x zero h0 zero C0 a' dh T dh_T dC_T) as A. cbv zeta beta in A.
  fold tape in A. fold G in A.
  rewrite inner_no_weight, inner_no_x, !inner_zero_r, !Rplus_0_l in A.
  assert (Ep : forall w, derives (fun _ : R => p w) (no_weight w) (p w)) by (intros; apply derives_constant).
  assert (Ey : forall t, derives (fun _ : R => x t) (no_x t) (x t)) by (intros; apply derives_constant).
  assert (Ea : forall t n, derives (fun ε => scale ε (a' t n)) (a' t n) zero) by (intros; apply derives_scale).
  pose proof (derives_states (fun _ => p) (fun _ => x) (fun _ => h0) (fun _ => C0) (fun ε t n => scale ε (a' t n))
    no_weight p no_x x zero h0 zero C0 a' Ep Ey (derives_constant _) (derives_constant _) Ea T) as [Nh NC].
  eapply derives_eq.
  - apply derive_plus; [apply derive_plus|].
    + apply (derive_Σ T (fun ε t => ⟨dh t, (probed_outputs p (fun t n => scale ε (a' t n)) x h0 C0 t).(h_out)⟩)).
      intros q _. eapply derive_inner. exact (derives_outputs (fun _ => p) (fun _ => x) (fun _ => h0) (fun _ => C0)
        (fun ε t n => scale ε (a' t n)) no_weight p no_x x zero h0 zero C0 a' Ep Ey
        (derives_constant _) (derives_constant _) Ea q).
    + eapply derive_inner. exact Nh.
    + eapply derive_inner. exact NC.
  - rewrite A. unfold tape.
    rewrite (Σ_single T t) by (assumption || (intros q N; unfold a', edge_entry, inner_edges, total, edges;
      apply Nat.eqb_neq in N; rewrite N, !inner_zero_r; ring)).
    set (δ := nth t _ no_probes). rewrite <- (inner_single_entry (δ n) j k) by assumption.
    unfold a', edge_entry, inner_edges, total, edges. rewrite Nat.eqb_refl.
    destruct n; simpl; rewrite !inner_zero_r; ring.
Qed.

(** At ε = 0 the probes are 0, and [loss_with_probes] is the loss of the unit. *)
Theorem loss_without_probes a' : loss_with_probes a' 0 = loss_of_unit (loss dh dh_T dC_T T) T p x h0 C0.
Proof.
  unfold loss_with_probes, loss_of_unit, loss. cbv zeta.
  replace (fun t n => scale 0 (a' t n)) with (fun t : nat => @no_probes B D H)
    by (extensionality t; extensionality n; symmetry; apply scale_0).
  destruct (states_without_probes p x h0 C0 T) as [-> ->]. do 2 f_equal.
  apply Σ_ext. intros t L. f_equal.
  rewrite (proj1 (run_states p x h0 C0 T (t + 1) ltac:(lia))), Nat.add_1_r. symmetry. apply outputs_without_probes.
Qed.
End Entries.
