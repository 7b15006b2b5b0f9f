(** Finite sums, matrices and their inner product. Each of the five rules of DERIVATION.md appears here as an equation:
    if the derivative of the loss is the inner product of δ and the change of a result, it is that of another δ and the
    change of an operand. This other δ is called the adjoint. *)

From Coq Require Import Reals Lra Lia List FunctionalExtensionality.
Open Scope R_scope.

(** * Sums *)

(** a 0 + a 1 + … + a (n - 1) *)
Fixpoint Σ (n : nat) (a : nat -> R) : R :=
  match n with O => 0 | S m => Σ m a + a m end.

(** The sum of a over the elements of a list. *)
Fixpoint total {I} (elements : list I) (a : I -> R) : R :=
  match elements with nil => 0 | first :: others => a first + total others a end.

Lemma Σ_ext n a b : (forall k, (k < n)%nat -> a k = b k) -> Σ n a = Σ n b.
Proof.
  induction n as [|n IH]; simpl; intros E; [reflexivity|].
  rewrite IH, E; auto.
Qed.

Lemma Σ_plus n a b : Σ n (fun k => a k + b k) = Σ n a + Σ n b.
Proof. induction n as [|n IH]; simpl; [lra|rewrite IH; lra]. Qed.

Lemma Σ_scale n c a : Σ n (fun k => c * a k) = c * Σ n a.
Proof. induction n as [|n IH]; simpl; [lra|rewrite IH; lra]. Qed.

Lemma Σ_zero n a : (forall k, (k < n)%nat -> a k = 0) -> Σ n a = 0.
Proof. induction n as [|n IH]; simpl; intros E; [reflexivity|]. rewrite IH, E; auto; lra. Qed.

Lemma Σ_single n k a : (k < n)%nat -> (forall q, q <> k -> a q = 0) -> Σ n a = a k.
Proof.
  intros L E. induction n as [|n IH]; [lia|]. simpl.
  destruct (Nat.eq_dec k n) as [->|N].
  - rewrite Σ_zero; [lra|]. intros q Lq. apply E. lia.
  - rewrite IH, (E n) by lia. lra.
Qed.

Lemma Σ_swap m n a : Σ m (fun j => Σ n (fun k => a j k)) = Σ n (fun k => Σ m (fun j => a j k)).
Proof.
  induction m as [|m IH]; simpl; [symmetry; apply Σ_zero; auto|].
  rewrite IH, <- Σ_plus. reflexivity.
Qed.

(** * Matrices *)

(** The shape is part of the type, so that an equation whose shapes do not fit is refused. *)
Record mat (m n : nat) := Mat { entry :> nat -> nat -> R }.
Arguments Mat {m n}.
Arguments entry {m n}.

Declare Scope mat_scope.
Delimit Scope mat_scope with M.
Bind Scope mat_scope with mat.

Definition zero {m n} : mat m n := Mat (fun _ _ => 0).
Definition add {m n} (A B : mat m n) : mat m n := Mat (fun j k => A j k + B j k).
Definition mul {m n} (A B : mat m n) : mat m n := Mat (fun j k => A j k * B j k).
Definition matmul {l m n} (A : mat l m) (B : mat m n) : mat l n := Mat (fun j k => Σ m (fun q => A j q * B q k)).
Definition transpose {m n} (A : mat m n) : mat n m := Mat (fun j k => A k j).
Definition add_bias {m n} (A : mat m n) (b : mat 1 n) : mat m n := Mat (fun j k => A j k + b O k).
Definition sum0 {m n} (A : mat m n) : mat 1 n := Mat (fun _ k => Σ m (fun j => A j k)).
Definition map {m n} (φ : R -> R) (A : mat m n) : mat m n := Mat (fun j k => φ (A j k)).
Definition scale {m n} (c : R) (A : mat m n) : mat m n := Mat (fun j k => c * A j k).

(** The matrix whose entry j, k is 1, and whose other entries are 0. *)
Definition single_entry {m n} (j k : nat) : mat m n :=
  Mat (fun a b => if andb (Nat.eqb a j) (Nat.eqb b k) then 1 else 0).

Infix "+" := add : mat_scope.
Infix "*" := mul : mat_scope.
Infix "@" := matmul (at level 40, left associativity) : mat_scope.
Infix "+ᵇ" := add_bias (at level 50, left associativity) : mat_scope.
Notation "A ^T" := (transpose A) (at level 30) : mat_scope.

(** The sum over all entries of A j k * B j k. *)
Definition inner {m n} (A B : mat m n) : R := Σ m (fun j => Σ n (fun k => A j k * B j k)).
Notation "⟨ A , B ⟩" := (inner A%M B%M).

Lemma mat_ext {m n} (A B : mat m n) : (forall j k, A j k = B j k) -> A = B.
Proof. destruct A as [a], B as [b]. simpl. intros E. f_equal. extensionality j. extensionality k. apply E. Qed.

Lemma add_zero {m n} (A : mat m n) : (A + zero)%M = A.
Proof. apply mat_ext. intros. apply Rplus_0_r. Qed.

Lemma scale_0 {m n} (E : mat m n) : scale 0 E = zero.
Proof. apply mat_ext. intros. apply Rmult_0_l. Qed.

Lemma add_scale_0 {m n} (A E : mat m n) : (A + scale 0 E)%M = A.
Proof. rewrite scale_0. apply add_zero. Qed.

(** * The five rules *)

Ltac entrywise := unfold inner; simpl; rewrite <- ?Σ_plus;
  apply Σ_ext; intros; rewrite <- ?Σ_plus; apply Σ_ext; intros; ring.

(** The rule for sums: every term receives the gradient. *)
Lemma inner_add {m n} (A B E : mat m n) : ⟨A, B + E⟩ = ⟨A, B⟩ + ⟨A, E⟩.
Proof. entrywise. Qed.

(** The rule for forks: the gradients of the branches add up. *)
Lemma inner_fork {m n} (A B E : mat m n) : ⟨A + B, E⟩ = ⟨A, E⟩ + ⟨B, E⟩.
Proof. entrywise. Qed.

(** The rule for products: times the other factor. The rule for functions is the same; the derivative is the factor. *)
Lemma inner_mul_l {m n} (A B E : mat m n) : ⟨A, B * E⟩ = ⟨A * E, B⟩.
Proof. entrywise. Qed.

Lemma inner_mul_r {m n} (A B E : mat m n) : ⟨A, B * E⟩ = ⟨A * B, E⟩.
Proof. entrywise. Qed.

(** The rule for matrix products: times the transpose. The second equation is for the weight, the right operand. *)
Lemma inner_matmul_l {l m n} (A : mat l n) (B : mat l m) (E : mat m n) : ⟨A, B @ E⟩ = ⟨A @ E^T, B⟩.
Proof.
  unfold inner; simpl. apply Σ_ext; intros j _.
  transitivity (Σ n (fun k => Σ m (fun q => A j k * (B j q * E q k)))).
  { apply Σ_ext; intros k _. now rewrite Σ_scale. }
  rewrite Σ_swap. apply Σ_ext; intros q _.
  rewrite Rmult_comm, <- Σ_scale. apply Σ_ext; intros; ring.
Qed.

Lemma inner_matmul_r {l m n} (A : mat l n) (B : mat l m) (E : mat m n) : ⟨A, B @ E⟩ = ⟨B^T @ A, E⟩.
Proof.
  unfold inner; simpl.
  transitivity (Σ l (fun j => Σ m (fun q => Σ n (fun k => A j k * (B j q * E q k))))).
  { apply Σ_ext; intros j _. rewrite Σ_swap. apply Σ_ext; intros k _. now rewrite Σ_scale. }
  rewrite Σ_swap. apply Σ_ext; intros q _.
  rewrite Σ_swap. apply Σ_ext; intros k _.
  rewrite Rmult_comm, <- Σ_scale. apply Σ_ext; intros; ring.
Qed.

(** The bias is a term in every row, so that its gradient is the sum over the rows. *)
Lemma inner_add_bias {m n} (A B : mat m n) (b : mat 1 n) : ⟨A, B +ᵇ b⟩ = ⟨A, B⟩ + ⟨sum0 A, b⟩.
Proof.
  unfold inner; simpl.
  transitivity (Σ m (fun j => Σ n (fun k => A j k * B j k) + Σ n (fun k => A j k * b O k))).
  { apply Σ_ext; intros. rewrite <- Σ_plus. apply Σ_ext; intros; ring. }
  rewrite Σ_plus, Rplus_0_l. f_equal.
  rewrite Σ_swap. apply Σ_ext; intros k _.
  rewrite Rmult_comm, <- Σ_scale. apply Σ_ext; intros; ring.
Qed.

(** * Inner products with zero and with unit matrices *)

Lemma inner_zero_l {m n} (A : mat m n) : ⟨zero, A⟩ = 0.
Proof. apply Σ_zero; intros. apply Σ_zero; intros. apply Rmult_0_l. Qed.

Lemma inner_zero_r {m n} (A : mat m n) : ⟨A, zero⟩ = 0.
Proof. apply Σ_zero; intros. apply Σ_zero; intros. apply Rmult_0_r. Qed.

Lemma inner_single_entry {m n} (A : mat m n) j k : (j < m)%nat -> (k < n)%nat -> ⟨A, single_entry j k⟩ = A j k.
Proof.
  intros Lj Lk. unfold inner, single_entry. simpl.
  rewrite (Σ_single m j), (Σ_single n k), !Nat.eqb_refl; try assumption; simpl; try ring.
  - intros q N. apply Nat.eqb_neq in N. rewrite N, Bool.andb_false_r. ring.
  - intros q N. apply Nat.eqb_neq in N. apply Σ_zero. intros b _. rewrite N. simpl. ring.
Qed.

(** From here on the operations are used by these rules alone, because unfolding them makes Coq run out of time. *)
#[global] Opaque zero add mul matmul transpose add_bias sum0 map scale single_entry inner.
