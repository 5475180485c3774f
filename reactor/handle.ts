/** A descriptor as its selector and its owner share it. */

/** What a handle is ready for, as bits that are added together. */
export const READABLE = 1;
/** See {@link READABLE}. */
export const WRITABLE = 2;
/** The peer has ended or the descriptor failed: short counts no longer mean that nothing is left. */
export const HANGUP = 4;
/** The connection was reset or broke; what had come before can still be received. */
export const BROKEN = 8;

/** Who is told that a handle has news. */
export interface HandleOwner {
  /** Uses `handle.readiness`. Called once in a turn at most. */
  dispatch(): void;
}

/**
 * One registered descriptor. Its readiness is set by the selector and cleared by whoever learns, from a system call,
 * that it is used up. Numbers of descriptors come again; the generation tells one use of a number from the next.
 */
export class Handle {
  readonly fd: number;
  /** Given by the selector at registration. */
  generation = 0;
  readiness = 0;
  owner: HandleOwner | undefined;
  /** Whether it has a place in its reactor's ready queue. */
  queued = false;

  constructor(fd: number) {
    this.fd = fd;
  }
}
