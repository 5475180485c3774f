/** A descriptor, as the selector and the owner of the descriptor share it. */

/** The kinds of readiness, as bits of `Handle.readiness`. */
export const READABLE = 1;
/** See {@link READABLE}. */
export const WRITABLE = 2;
/**
 * The peer has ended its side, or the descriptor failed. From then on, a short read does not mean that nothing is left.
 */
export const HANGUP = 4;
/** The connection was reset or broke. Data that came before can still be received. */
export const BROKEN = 8;

/** The owner of a handle. */
export interface HandleOwner {
  /** Called, at most once a turn, when `handle.readiness` has changed. */
  dispatch(): void;
}

/**
 * One registered descriptor. The selector sets bits of its readiness. The code that makes the system calls
 * clears a bit when a call shows that nothing is left. The system reuses the numbers of closed descriptors; the
 * generation distinguishes one use of a number from the next.
 */
export class Handle {
  readonly fd: number;
  /** Set by the selector at registration. */
  generation = 0;
  readiness = 0;
  owner: HandleOwner | undefined;
  /** Whether it has a place in its reactor's ready queue. */
  queued = false;

  constructor(fd: number) {
    this.fd = fd;
  }
}
