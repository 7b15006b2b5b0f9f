(** Matrices that depend on a real number ε, and their derivatives at ε = 0. *)

From Coq Require Import Reals Lra.
From Coquelicot Require Import Coquelicot.
From LSTM Require Import Matrices.
Open Scope R_scope.

(** A is A0 at ε = 0, and the derivative of every entry there is that entry of A'. *)
Definition derives {m n} (A : R -> mat m n) (A' A0 : mat m n) : Prop :=
  (forall j k, is_derive (fun ε => A ε j k) 0 (A' j k)) /\ A 0 = A0.

Lemma derives_ext {m n} (A E : R -> mat m n) A' A0 :
  (forall ε, E ε = A ε) -> derives A A' A0 -> derives E A' A0.
Proof.
  intros Q [EA <-]. split; [|apply Q]. intros j k.
  eapply is_derive_ext; [|apply EA]. intros ε. cbv beta. now rewrite Q.
Qed.

Lemma derives_eq (a : R -> R) (z u v : R) : is_derive a z u -> u = v -> is_derive a z v.
Proof. intros E <-; exact E. Qed.

Lemma derive_mult (a b : R -> R) (a' b' : R) :
  is_derive a 0 a' -> is_derive b 0 b' -> is_derive (fun ε => a ε * b ε) 0 (a' * b 0 + a 0 * b').
Proof. intros Ea Eb. apply (is_derive_mult a b 0 a' b' Ea Eb). intros; apply Rmult_comm. Qed.

Lemma derive_plus (a b : R -> R) (a' b' : R) :
  is_derive a 0 a' -> is_derive b 0 b' -> is_derive (fun ε => a ε + b ε) 0 (a' + b').
Proof. exact (@is_derive_plus R_AbsRing R_NormedModule a b 0 a' b'). Qed.

Lemma derive_Σ n (a : R -> nat -> R) a' :
  (forall k, (k < n)%nat -> is_derive (fun ε => a ε k) 0 (a' k)) -> is_derive (fun ε => Σ n (a ε)) 0 (Σ n a').
Proof.
  induction n as [|n IH]; simpl; intros E; [apply @is_derive_const|].
  apply derive_plus; auto.
Qed.

(** * The functions of the unit *)

(** Their derivatives are those that DERIVATION.md computes from the value of the function. *)
Lemma derive_sigmoid z :
  is_derive (fun z => 1 / (1 + exp (- z))) z (1 / (1 + exp (- z)) * (1 - 1 / (1 + exp (- z)))).
Proof.
  pose proof (exp_pos (- z)).
  auto_derive; [lra|]. field. lra.
Qed.

Lemma derive_tanh z : is_derive tanh z (1 - tanh z * tanh z).
Proof.
  unfold tanh, sinh, cosh.
  pose proof (exp_pos z). pose proof (exp_pos (- z)).
  auto_derive; [lra|]. field. lra.
Qed.

(** * The operations on matrices *)

Section Operations.
  Context {l m n : nat}.
  #[local] Transparent zero add mul matmul add_bias map scale inner.

  Lemma derives_constant (A : mat m n) : derives (fun _ => A) zero A.
  Proof. split; [intros j k; apply @is_derive_const|reflexivity]. Qed.

  Lemma derives_line (A E : mat m n) : derives (fun ε => A + scale ε E)%M E A.
  Proof. split; [|apply add_scale_0]. intros j k. simpl. auto_derive; [trivial|ring]. Qed.

  Lemma derives_scale (E : mat m n) : derives (fun ε => scale ε E) E zero.
  Proof. split; [|apply scale_0]. intros j k. simpl. auto_derive; [trivial|ring]. Qed.

  Lemma derives_add (A B : R -> mat m n) A' B' A0 B0 :
    derives A A' A0 -> derives B B' B0 -> derives (fun ε => A ε + B ε)%M (A' + B')%M (A0 + B0)%M.
  Proof. intros [EA <-] [EB <-]. split; [|reflexivity]. intros j k. apply derive_plus; auto. Qed.

  Lemma derives_mul (A B : R -> mat m n) A' B' A0 B0 :
    derives A A' A0 -> derives B B' B0 -> derives (fun ε => A ε * B ε)%M (A' * B0 + A0 * B')%M (A0 * B0)%M.
  Proof.
    intros [EA <-] [EB <-]. split; [|reflexivity]. intros j k.
    apply (derive_mult (fun ε => A ε j k) (fun ε => B ε j k)); auto.
  Qed.

  Lemma derives_matmul (A : R -> mat l m) (B : R -> mat m n) A' B' A0 B0 :
    derives A A' A0 -> derives B B' B0 -> derives (fun ε => A ε @ B ε)%M (A' @ B0 + A0 @ B')%M (A0 @ B0)%M.
  Proof.
    intros [EA <-] [EB <-]. split; [|reflexivity]. intros j k. simpl. rewrite <- Σ_plus.
    apply (derive_Σ m (fun ε q => A ε j q * B ε q k)). intros q _.
    apply (derive_mult (fun ε => A ε j q) (fun ε => B ε q k)); auto.
  Qed.

  Lemma derives_add_bias (A : R -> mat m n) (b : R -> mat 1 n) A' b' A0 b0 :
    derives A A' A0 -> derives b b' b0 -> derives (fun ε => A ε +ᵇ b ε)%M (A' +ᵇ b')%M (A0 +ᵇ b0)%M.
  Proof. intros [EA <-] [Eb <-]. split; [|reflexivity]. intros j k. apply derive_plus; auto. Qed.

  (** A function whose derivative at z is ψ of its value there. *)
  Lemma derives_map (φ ψ : R -> R) (A : R -> mat m n) A' A0 : (forall z, is_derive φ z (ψ (φ z))) ->
    derives A A' A0 -> derives (fun ε => map φ (A ε)) (A' * map ψ (map φ A0))%M (map φ A0).
  Proof.
    intros Eφ [EA <-]. split; [|reflexivity]. intros j k.
    exact (is_derive_comp φ (fun ε => A ε j k) 0 _ _ (Eφ _) (EA j k)).
  Qed.

  Lemma derive_inner (E : mat m n) (A : R -> mat m n) A' A0 :
    derives A A' A0 -> is_derive (fun ε => ⟨E, A ε⟩) 0 ⟨E, A'⟩.
  Proof.
    intros [EA _]. unfold inner.
    apply (derive_Σ m (fun ε j => Σ n (fun k => E j k * A ε j k))). intros j _.
    apply (derive_Σ n (fun ε k => E j k * A ε j k)). intros k _.
    apply (is_derive_scal (fun ε => A ε j k)); auto.
  Qed.
End Operations.
