/**
 * Sessions of a server in a store that is not trusted: sealed, bound to their id, asked for within a deadline of their
 * own, and not at all while the store is out of order.
 */

import { randomBytes, timingSafeEqual } from 'node:crypto';

import type { TimeSource } from '../../../core/clock.ts';
import { andThen } from '../thenable.ts';
import type { ResumptionMiss } from './resumption.ts';
import { Sealer } from './sealer.ts';
import { StoreGuard } from './store-guard.ts';
import type { StoreStatistics } from './store-guard.ts';
import type { SessionStore } from '../../stores/store.ts';
import { TTL_AT_MOST_MS, VALUE_AT_MOST } from '../../stores/store.ts';

/** How sessions are kept. */
export interface VaultOptions {
  readonly store: SessionStore;
  /**
   * 32 secret bytes that seal what is stored; the same for all who share the store. Random unless given, and then only
   * this context can read it.
   */
  readonly key?: Uint8Array | undefined;
  /** How long a handshake waits for the store, in milliseconds. */
  readonly lookupMs: number;
}

/** A session that was found, in DER, or why there is none. */
export type Found = { readonly der: Uint8Array } | { readonly miss: ResumptionMiss };

/** What a session was made under. */
export interface SessionBinding {
  /** The scope of the context, 32 bytes. */
  readonly scope: Uint8Array;
  readonly serverName: string | undefined;
}

/** Seals sessions for a store, and opens what the store returns. */
export class Vault {
  readonly store: SessionStore;
  readonly #sealer: Sealer;
  readonly #guard: StoreGuard;
  /** What is on its way to the store, by key. */
  readonly #saving = new Map<string, Save>();
  #closed = false;

  /** @throws {RangeError} when the key has not 32 bytes. */
  constructor({ store, key, lookupMs }: VaultOptions) {
    this.store = store;
    this.#sealer = new Sealer(key ?? randomBytes(32), 'sessions', 'the key of stored sessions');
    this.#guard = new StoreGuard(lookupMs);
  }

  /** Makes a session's id: 32 bytes, of which the last 8 show that it is one of ours. */
  makeId(): Uint8Array {
    const random = randomBytes(ID_BYTES - MARK_BYTES);
    return Buffer.concat([random, this.#mark(random)]);
  }

  /** Whether an id is one of ours: those that clients make up never reach the store. */
  isOwn(id: Uint8Array): boolean {
    return (
      !this.#closed &&
      id.length === ID_BYTES &&
      timingSafeEqual(this.#mark(id.subarray(0, ID_BYTES - MARK_BYTES)), id.subarray(ID_BYTES - MARK_BYTES))
    );
  }

  /** Looks for a session; at once when it is still being saved, or the store answers at once. It never fails. */
  find(id: Uint8Array, binding: SessionBinding, time: TimeSource): Found | Promise<Found> {
    if (!this.isOwn(id)) return { miss: 'unknown' };
    const key = keyOf(id);
    const save = this.#saving.get(key);
    if (save !== undefined) return this.#open(id, save.isRevoked ? undefined : save.value, binding);
    return andThen(
      this.#guard.ask(() => this.store.get(key), time),
      (answer) => ('miss' in answer ? answer : this.#open(id, answer.value, binding)),
    );
  }

  /** Keeps a session, in its own time; @returns when that is done or given up. It never fails. */
  async save(id: Uint8Array, der: Uint8Array, binding: SessionBinding, ttlMs: number, time: TimeSource): Promise<void> {
    const value = this.#closed ? undefined : this.#seal(id, der, binding);
    if (value === undefined || value.length > VALUE_AT_MOST) {
      this.#guard.lose();
      return;
    }
    const key = keyOf(id);
    const save: Save = { value, isRevoked: false, done: undefined };
    save.done = this.#guard.save(
      () => (save.isRevoked ? undefined : this.store.set(key, value, Math.min(ttlMs, TTL_AT_MOST_MS))),
      time,
    );
    if (save.done === undefined) return;
    this.#saving.set(key, save);
    await save.done;
    if (this.#saving.get(key) === save) this.#saving.delete(key);
  }

  /** Forgets a session, and one that is still being saved as well. @throws what the store throws. */
  async remove(id: Uint8Array): Promise<void> {
    const key = keyOf(id);
    const save = this.#saving.get(key);
    if (save !== undefined) {
      save.isRevoked = true;
      await save.done;
    }
    await this.store.remove(key);
  }

  /** Resolves when nothing is being saved. */
  async idle(): Promise<void> {
    await this.#guard.idle();
  }

  statistics(now: number): StoreStatistics {
    return this.#guard.statistics(now);
  }

  /** Wipes the keys: connections that outlive it find and save nothing more. The store is its owner's to close. */
  close(): void {
    this.#closed = true;
    this.#sealer.close();
  }

  #mark(random: Uint8Array): Buffer {
    return this.#sealer.name(random).subarray(0, MARK_BYTES);
  }

  /** The sealed binding and session. The id is bound in: a value under another id does not open. */
  #seal(id: Uint8Array, der: Uint8Array, { scope, serverName }: SessionBinding): Buffer {
    const name = Buffer.from(serverName ?? '');
    const length = Buffer.alloc(2);
    length.writeUInt16BE(name.length);
    return this.#sealer.seal(id, scope, length, name, der);
  }

  #open(id: Uint8Array, value: Uint8Array | undefined, binding: SessionBinding): Found {
    // It may have been closed since the store was asked.
    if (value === undefined || this.#closed) return { miss: 'unknown' };
    const plain = this.#sealer.open(id, value);
    if (plain === undefined || plain.length < SCOPE_BYTES + 2) return { miss: 'corrupted' };
    const nameEnd = SCOPE_BYTES + 2 + plain.readUInt16BE(SCOPE_BYTES);
    if (nameEnd > plain.length) return { miss: 'corrupted' };
    if (!plain.subarray(0, SCOPE_BYTES).equals(binding.scope)) return { miss: 'scope' };
    if (plain.subarray(SCOPE_BYTES + 2, nameEnd).toString() !== (binding.serverName ?? ''))
      return { miss: 'server name' };
    return { der: plain.subarray(nameEnd) };
  }
}

/** A session on its way to the store. */
interface Save {
  readonly value: Uint8Array;
  /** Whether it is to be of no use although it may still come to the store. */
  isRevoked: boolean;
  done: Promise<void> | undefined;
}

const keyOf = (id: Uint8Array): string => Buffer.from(id).toString('base64url');

// SSL_MAX_SSL_SESSION_ID_LENGTH.
const ID_BYTES = 32;
const MARK_BYTES = 8;
const SCOPE_BYTES = 32;
