(** The unit with a value added on every edge of the picture in DERIVATION.md, as probes.py has it: the derivative of
    the loss with respect to the value added on edge n is δn, by definition. *)

From Coq Require Import Arith.
From LSTM Require Import Matrices Derivation Bptt.

Section Probes.
Context {B D H : nat}.

(** What leaves a step: h to the layer above, h and C to the next step. *)
Record Outputs := { h_out : mat B H; h_next : mat B H; C_next : mat B H }.

Definition no_probes : Edges B D H := fun n => zero.

Definition probed_step (p : Params D H) (a : Edges B D H) (x : mat B D) (h_prev C_prev : mat B H) : Outputs := (
  let h_prev := h_prev + a e25 in
  let x := x + a e26 in
  let f := sigmoid ((h_prev + a e24) @ p W_f + (x + a e23) @ p U_f +ᵇ p b_f + a e16) + a e12 in
  let i := sigmoid ((h_prev + a e22) @ p W_i + (x + a e21) @ p U_i +ᵇ p b_i + a e15) + a e10 in
  let g := tanh ((h_prev + a e20) @ p W_g + (x + a e19) @ p U_g +ᵇ p b_g + a e14) + a e9 in
  let o := sigmoid ((h_prev + a e18) @ p W_o + (x + a e17) @ p U_o +ᵇ p b_o + a e13) + a e6 in
  let C := (C_prev + a e11) * f + i * g + a e8 in
  let tanh_C := tanh (C + a e7) + a e5 in
  let h := tanh_C * o + a e3 in
  {| h_out := h + a e1; h_next := h + a e2; C_next := C + a e4 |})%M.

(** h and C before step t. *)
Fixpoint probed_states p (a : nat -> Edges B D H) (x : nat -> mat B D) (h0 C0 : mat B H) (t : nat)
    : mat B H * mat B H :=
  match t with
  | O => (h0, C0)
  | S t =>
      let (h_prev, C_prev) := probed_states p a x h0 C0 t in
      let outputs := probed_step p (a t) (x t) h_prev C_prev in
      (outputs.(h_next), outputs.(C_next))
  end.

Definition probed_h p a x h0 C0 t := fst (probed_states p a x h0 C0 t).
Definition probed_C p a x h0 C0 t := snd (probed_states p a x h0 C0 t).
Definition probed_outputs p a x h0 C0 t := probed_step p (a t) (x t) (probed_h p a x h0 C0 t) (probed_C p a x h0 C0 t).

Lemma probed_next p a x h0 C0 t :
  probed_h p a x h0 C0 (S t) = (probed_outputs p a x h0 C0 t).(h_next) /\
  probed_C p a x h0 C0 (S t) = (probed_outputs p a x h0 C0 t).(C_next).
Proof.
  unfold probed_outputs, probed_h, probed_C. simpl. destruct (probed_states p a x h0 C0 t). split; reflexivity.
Qed.

(** * The unit is the one without probes *)

Lemma step_without_probes p x h_prev C_prev :
  let s := step p x h_prev C_prev in
  probed_step p no_probes x h_prev C_prev = {| h_out := s.(h); h_next := s.(h); C_next := s.(C) |}.
Proof. unfold probed_step, no_probes. rewrite !add_zero. reflexivity. Qed.

Lemma states_without_probes p x h0 C0 T :
  (run p x h0 C0 T).(Tape.hs) T = probed_h p (fun _ => no_probes) x h0 C0 T /\
  (run p x h0 C0 T).(Tape.Cs) T = probed_C p (fun _ => no_probes) x h0 C0 T.
Proof.
  induction T as [|t [IHh IHC]]; [split; reflexivity|].
  destruct (probed_next p (fun _ => no_probes) x h0 C0 t) as [-> ->].
  unfold probed_outputs. rewrite <- IHh, <- IHC, step_without_probes. simpl. unfold set.
  rewrite Nat.add_1_r, Nat.eqb_refl. split; reflexivity.
Qed.

Lemma outputs_without_probes p x h0 C0 t :
  (run p x h0 C0 (S t)).(Tape.hs) (S t) = (probed_outputs p (fun _ => no_probes) x h0 C0 t).(h_out).
Proof.
  unfold probed_outputs. destruct (states_without_probes p x h0 C0 t) as [<- <-]. rewrite step_without_probes.
  simpl. unfold set. now rewrite Nat.add_1_r, Nat.eqb_refl.
Qed.
End Probes.

Arguments Outputs : clear implicits.
