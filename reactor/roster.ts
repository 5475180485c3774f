/** The list of everything that is open on a loop. */

import { ClosedError } from '../core/errors.ts';
import type { OperationName } from '../core/errors.ts';
import type { Operation } from '../core/operation.ts';
import type { TimeoutMode } from '../core/timeouts.ts';
import type { Want } from '../core/want.ts';
import type { Address } from './addresses/address.ts';

/** A description of a running operation, at the moment of the call. */
export interface OperationSnapshot {
  readonly name: OperationName;
  /** What it waits for; `null` when it runs in this turn or the next. */
  readonly want: Want | null;
  /** The moment when the present wait began, in the reactor's milliseconds. */
  readonly sinceMs: number;
  /** What is left of the limit that will end the wait; `null` without a limit. */
  readonly remaining: { readonly ms: number; readonly mode: TimeoutMode } | null;
  /** The peer's address; `undefined` for an operation that belongs to no connection. */
  readonly peer: Address | undefined;
}

/** The part of an open connection that the roster uses. */
export interface OpenConnection {
  readonly operations: readonly Operation<unknown>[];
  readonly remoteAddress: Address | undefined;
  abort(): void;
}

/** The part of an open listener that the roster uses. */
export interface OpenListener {
  readonly operations: readonly Operation<unknown>[];
  close(): void;
}

/** An ended connection whose descriptor is still open. */
export interface OpenLinger {
  abort(): void;
}

/** The kinds of things that can be open. */
export interface RosterKinds {
  connection: OpenConnection;
  listener: OpenListener;
  linger: OpenLinger;
  /** An operation that belongs to no connection and no listener, such as a connect. */
  operation: Operation<unknown>;
}

/** Keeps everything that is open, by kind. */
export class Roster {
  readonly connections = new Set<OpenConnection>();
  readonly listeners = new Set<OpenListener>();
  readonly #sets: { readonly [K in keyof RosterKinds]: Set<RosterKinds[K]> } = {
    connection: this.connections,
    listener: this.listeners,
    linger: new Set(),
    operation: new Set(),
  };

  add<K extends keyof RosterKinds>(kind: K, part: RosterKinds[K]): void {
    this.#sets[kind].add(part);
  }

  /** @returns whether `part` was open. */
  delete<K extends keyof RosterKinds>(kind: K, part: RosterKinds[K]): boolean {
    return this.#sets[kind].delete(part);
  }

  /** Describes every running operation. */
  snapshots(): OperationSnapshot[] {
    const snapshots = [...this.#sets.operation].map((operation) => snapshotOf(operation, undefined));
    for (const listener of this.listeners)
      snapshots.push(...listener.operations.map((operation) => snapshotOf(operation, undefined)));
    for (const connection of this.connections)
      snapshots.push(...connection.operations.map((operation) => snapshotOf(operation, connection.remoteAddress)));
    return snapshots;
  }

  closeListeners(): void {
    for (const listener of [...this.listeners]) listener.close();
  }

  /** Ends everything now. */
  abort(): void {
    this.closeListeners();
    for (const connection of [...this.connections]) connection.abort();
    for (const linger of [...this.#sets.linger]) linger.abort();
    for (const operation of [...this.#sets.operation])
      operation.fail(new ClosedError(`${operation.name} failed: the reactor was aborted`));
  }
}

function snapshotOf(operation: Operation<unknown>, peer: Address | undefined): OperationSnapshot {
  const { name, want, sinceMs, remaining } = operation;
  return { name, want, sinceMs, remaining, peer };
}
