/** What every failed call throws, whatever went wrong. */

/** What is wrong with one field of a request. */
export interface FieldViolation {
  /** The field's path: "grant.amount.amount_minor". */
  readonly field: string;
  /** What is wrong with it, for people. */
  readonly description: string;
}

/** All that is known of a failed call. */
export interface Failure {
  /** The canonical code's name: "NOT_FOUND". */
  readonly code: string;
  /** Why, for programs: "WALLET_NOT_FOUND"; empty if it was not a service of Tally that answered. */
  readonly reason: string;
  readonly message: string;
  /** The numbers of the message, for programs: `{ available_minor: "120" }`. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly fieldViolations: readonly FieldViolation[];
  /**
   * The request id that was sent; empty if the method takes none. Where the outcome is not known
   * (UNAVAILABLE, DEADLINE_EXCEEDED), the same request with this id may be sent again.
   */
  readonly requestId: string;
  /** How long the service asks to wait before the next try; undefined if it does not. */
  readonly retryDelayMs: number | undefined;
}

/**
 * A call that failed. Each reason has a class of its own, below the class of its code:
 * `InsufficientBalance` is a `FailedPrecondition`. A reason that this version does not know is of
 * its code's class, and a code without a class is a plain `TallyError`.
 */
export class TallyError extends Error implements Failure {
  readonly code: string;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly fieldViolations: readonly FieldViolation[];
  readonly requestId: string;
  readonly retryDelayMs: number | undefined;

  constructor(failure: Failure, options?: ErrorOptions) {
    super(failure.message, options);
    this.name = new.target.name;
    this.code = failure.code;
    this.reason = failure.reason;
    this.metadata = failure.metadata;
    this.fieldViolations = failure.fieldViolations;
    this.requestId = failure.requestId;
    this.retryDelayMs = failure.retryDelayMs;
  }
}
