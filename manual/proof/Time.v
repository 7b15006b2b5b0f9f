(** All steps: what the tape holds, the derivative of the outputs, and the adjoint of the loop over time. *)

From Coq Require Import Reals Lra Lia List.
From LSTM Require Import Matrices Derivatives Derivation Bptt Probes Step.
Open Scope R_scope.

Section Time.
Context {B D H : nat}.

(** * The tape *)

Section Run.
Variables (p : Params D H) (x : nat -> mat B D) (h0 C0 : mat B H).

Definition h_at t := (run p x h0 C0 t).(Tape.hs) t.
Definition C_at t := (run p x h0 C0 t).(Tape.Cs) t.

(** Later steps do not overwrite the states of earlier ones. *)
Lemma run_states T t : (t <= T)%nat ->
  (run p x h0 C0 T).(Tape.hs) t = h_at t /\ (run p x h0 C0 T).(Tape.Cs) t = C_at t.
Proof.
  induction T as [|T IH]; intros L.
  - assert (t = 0%nat) as -> by lia. split; reflexivity.
  - destruct (Nat.eq_dec t (S T)) as [->|N]; [split; reflexivity|].
    destruct (IH ltac:(lia)) as [<- <-]. simpl. unfold set.
    destruct (Nat.eqb_spec t (T + 1)); [lia|]. split; reflexivity.
Qed.

Lemma run_params T : (run p x h0 C0 T).(Tape.params) = p.
Proof. induction T as [|T IH]; [reflexivity|exact IH]. Qed.

Lemma run_x T : (run p x h0 C0 T).(Tape.x) = x.
Proof. induction T as [|T IH]; [reflexivity|exact IH]. Qed.

(** What is read from the tape is what the step computed. *)
Lemma step_of_run T t : (t < T)%nat -> step_of (run p x h0 C0 T) t = step p (x t) (h_at t) (C_at t).
Proof.
  induction T as [|T IH]; intros L; [lia|].
  destruct (run_states (S T) t ltac:(lia)) as [Eh EC].
  unfold step_of. rewrite run_x, Eh, EC. simpl. unfold set.
  destruct (Nat.eqb_spec (t + 1) (T + 1)) as [E|N].
  - assert (t = T) as -> by lia. rewrite Nat.eqb_refl. reflexivity.
  - destruct (Nat.eqb_spec t T); [lia|]. rewrite <- IH by lia. unfold step_of. f_equal.
    + now rewrite run_x.
    + symmetry. apply run_states. lia.
    + symmetry. apply run_states. lia.
Qed.

Lemma next_states t :
  h_at (S t) = (step p (x t) (h_at t) (C_at t)).(h) /\ C_at (S t) = (step p (x t) (h_at t) (C_at t)).(C).
Proof.
  unfold h_at, C_at. simpl. unfold set. rewrite Nat.add_1_r, Nat.eqb_refl. split; reflexivity.
Qed.
End Run.

(** * The derivative of the outputs *)

(** Weights, input, initial states and probes depend on ε. At ε = 0 they are p0, x0, h00 and C00, and the probes 0. *)
Variables (p : R -> Params D H) (x : R -> nat -> mat B D) (h0 C0 : R -> mat B H) (a : R -> nat -> Edges B D H).
Variables (p' p0 : Params D H) (x' x0 : nat -> mat B D) (h0' h00 C0' C00 : mat B H) (a' : nat -> Edges B D H).
Hypothesis Ep : forall w, derives (fun ε => p ε w) (p' w) (p0 w).
Hypothesis Ex : forall t, derives (fun ε => x ε t) (x' t) (x0 t).
Hypothesis Eh : derives h0 h0' h00.
Hypothesis EC : derives C0 C0' C00.
Hypothesis Ea : forall t n, derives (fun ε => a ε t n) (a' t n) zero.

Let s t := step p0 (x0 t) (h_at p0 x0 h00 C00 t) (C_at p0 x0 h00 C00 t).

Fixpoint states' (t : nat) : mat B H * mat B H :=
  match t with
  | O => (h0', C0')
  | S t =>
      let q' := step' p0 p' (a' t) (s t) (x' t) (fst (states' t)) (snd (states' t)) in (q'.(h_next), q'.(C_next))
  end.
Definition outputs' t := step' p0 p' (a' t) (s t) (x' t) (fst (states' t)) (snd (states' t)).

Lemma derives_states t :
  derives (fun ε => probed_h (p ε) (a ε) (x ε) (h0 ε) (C0 ε) t) (fst (states' t)) (h_at p0 x0 h00 C00 t) /\
  derives (fun ε => probed_C (p ε) (a ε) (x ε) (h0 ε) (C0 ε) t) (snd (states' t)) (C_at p0 x0 h00 C00 t).
Proof.
  induction t as [|t [IHh IHC]]; [split; assumption|].
  destruct (derives_step p p' p0 (fun ε => a ε t) (a' t) (fun ε => x ε t) (x' t) (x0 t) _ _ _ _ _ _
    Ep (Ea t) (Ex t) IHh IHC) as [_ [Nh NC]].
  destruct (next_states p0 x0 h00 C00 t) as [-> ->].
  split; [eapply derives_ext; [|exact Nh]|eapply derives_ext; [|exact NC]]; intros ε; apply probed_next.
Qed.

Lemma derives_outputs t :
  derives (fun ε => (probed_outputs (p ε) (a ε) (x ε) (h0 ε) (C0 ε) t).(h_out)) (outputs' t).(h_out)
    (h_at p0 x0 h00 C00 (S t)).
Proof.
  destruct (derives_states t) as [IHh IHC]. rewrite (proj1 (next_states _ _ _ _ _)).
  apply (derives_step p p' p0 (fun ε => a ε t) (a' t) (fun ε => x ε t) (x' t) (x0 t) _ _ _ _ _ _
    Ep (Ea t) (Ex t) IHh IHC).
Qed.

(** * The adjoint of the loop *)

(** A later iteration of the loop does not overwrite the gradient of x that an earlier one stored. *)
Lemma dx_kept (tape : Tape.Tape B D H) dh T δ25 δ11 G t : (T <= t)%nat ->
  (fold_left accumulate (steps_back deltas tape dh T δ25 δ11) G).(Gradients.x) t = G.(Gradients.x) t.
Proof.
  revert δ25 δ11 G; induction T as [|T IH]; intros δ25 δ11 G L; simpl; [reflexivity|].
  rewrite IH by lia. simpl. unfold set. destruct (Nat.eqb_spec t T); [lia|reflexivity].
Qed.

Lemma inner_params_plus (q r : Params D H) :
  inner_params (fun w => q w + r w)%M p' = inner_params q p' + inner_params r p'.
Proof. unfold inner_params, total, weights. rewrite !inner_fork. ring. Qed.

(** After the loop has processed the steps from T - 1 to 0, the gradients have received all that arrived at step T. *)
Lemma adjoint_loop (tape : Tape.Tape B D H) dh T δ25 δ11 G :
  tape.(Tape.params) = p0 -> (forall t, (t < T)%nat -> step_of tape t = s t) ->
  G.(Gradients.h0) = δ25 -> G.(Gradients.C0) = δ11 ->
  let N := fold_left accumulate (steps_back deltas tape dh T δ25 δ11) G in
  Σ T (fun t => ⟨dh t, (outputs' t).(h_out)⟩) + ⟨δ25, fst (states' T)⟩ + ⟨δ11, snd (states' T)⟩
    + inner_params G.(Gradients.params) p'
  = inner_params N.(Gradients.params) p' + Σ T (fun t => ⟨N.(Gradients.x) t, x' t⟩)
    + ⟨N.(Gradients.h0), h0'⟩ + ⟨N.(Gradients.C0), C0'⟩
    + total (steps_back deltas tape dh T δ25 δ11) (fun '(t, s, δ) => inner_edges δ (a' t)).
Proof.
  intros Etape. revert δ25 δ11 G; induction T as [|T IH]; intros δ25 δ11 G Es <- <- N; [unfold N; simpl; ring|].
  unfold N; cbn [Σ steps_back fold_left total]. clear N. cbv zeta.
  rewrite Etape, (Es T (le_n (S T))).
  set (δ := deltas p0 (s T) (dh T) G.(Gradients.h0) G.(Gradients.C0)).
  set (K := accumulate G (T, s T, δ)).
  specialize (IH (δ e25) (δ e11) K (fun t L => Es t (Nat.lt_lt_succ_r t T L)) eq_refl eq_refl). cbv zeta in IH.
  rewrite (dx_kept tape dh T (δ e25) (δ e11) K T (le_n T)).
  pose proof (adjoint_step p0 p' (a' T) (s T) (x' T) (fst (states' T)) (snd (states' T)) (dh T) G.(Gradients.h0)
    G.(Gradients.C0)) as A.
  cbv zeta in A. fold δ in A.
  change (step' p0 p' (a' T) (s T) (x' T) (fst (states' T)) (snd (states' T))) with (outputs' T) in A.
  assert (Kp : inner_params K.(Gradients.params) p' =
    inner_params G.(Gradients.params) p' + inner_params (updates (s T) δ) p') by apply inner_params_plus.
  assert (Kx : K.(Gradients.x) T = δ e26) by (simpl; unfold set; now rewrite Nat.eqb_refl).
  change (fst (states' (S T))) with (outputs' T).(h_next). change (snd (states' (S T))) with (outputs' T).(C_next).
  rewrite Kp in IH. rewrite Kx.
  clearbody K δ. cbn [width] in *. lra.
Qed.

Lemma length_steps_back (tape : Tape.Tape B D H) dh T δ25 δ11 : length (steps_back deltas tape dh T δ25 δ11) = T.
Proof. revert δ25 δ11; induction T as [|T IH]; intros; simpl; [reflexivity|now rewrite IH]. Qed.

(** The edges of step t are entry t of what all_deltas returns. *)
Lemma total_edges (tape : Tape.Tape B D H) dh T δ25 δ11 :
  total (steps_back deltas tape dh T δ25 δ11) (fun '(t, s, δ) => inner_edges δ (a' t)) =
  Σ T (fun t => inner_edges (nth t (all_deltas tape T dh δ25 δ11) no_probes) (a' t)).
Proof.
  revert δ25 δ11; induction T as [|T IH]; intros δ25 δ11; [reflexivity|].
  cbn [Σ total steps_back]. cbv zeta. rewrite IH, Rplus_comm.
  unfold all_deltas. cbn [steps_back List.map rev]. cbv zeta.
  f_equal.
  - apply Σ_ext. intros t Lt. rewrite app_nth1; [reflexivity|].
    now rewrite rev_length, map_length, length_steps_back.
  - rewrite app_nth2; rewrite rev_length, map_length, length_steps_back; [|lia]. now rewrite Nat.sub_diag.
Qed.

(** The derivatives of the outputs, weighted by the upstream gradients, are the direction weighted by the gradients. *)
Theorem adjoint_time dh T dh_T dC_T :
  let tape := run p0 x0 h00 C00 T in
  let G := gradients tape T dh dh_T dC_T in
  let δ t := nth t (all_deltas tape T dh dh_T dC_T) no_probes in
  Σ T (fun t => ⟨dh t, (outputs' t).(h_out)⟩) + ⟨dh_T, fst (states' T)⟩ + ⟨dC_T, snd (states' T)⟩ =
  inner_params G.(Gradients.params) p' + Σ T (fun t => ⟨G.(Gradients.x) t, x' t⟩)
    + ⟨G.(Gradients.h0), h0'⟩ + ⟨G.(Gradients.C0), C0'⟩ + Σ T (fun t => inner_edges (δ t) (a' t)).
Proof.
  intros tape G δ. unfold δ. rewrite <- total_edges.
  unfold G, gradients, gradients_by. rewrite <- adjoint_loop; try reflexivity.
  - unfold inner_params, total, weights. cbn [Gradients.params]. rewrite !inner_zero_l. ring.
  - apply run_params.
  - intros t L. now apply step_of_run.
Qed.
End Time.
