/**
 * A server's sessions in a store that need not be trusted. Each session is encrypted and bound to its id. A look-up has
 * a deadline, and a failing store is left alone for a while.
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

/** The options of a {@link Vault}. */
export interface VaultOptions {
  readonly store: SessionStore;
  /**
   * 32 secret bytes that encrypt the stored sessions. All processes that share the store need the same bytes. By
   * default they are random, so that only this context can read its sessions.
   */
  readonly key?: Uint8Array | undefined;
  /** How long a handshake waits for the store, in milliseconds. */
  readonly lookupMs: number;
}

/** The found session in DER, or why there is none. */
export type Found = { readonly der: Uint8Array } | { readonly miss: ResumptionMiss };

/** The scope and the server name for which a session was made. */
export interface SessionBinding {
  /** The scope of the context, 32 bytes. */
  readonly scope: Uint8Array;
  readonly serverName: string | undefined;
}

/** Saves and finds the sessions of one server context. */
export class Vault {
  readonly store: SessionStore;
  readonly #sealer: Sealer;
  readonly #guard: StoreGuard;
  /** The saves that are under way, by key. */
  readonly #saving = new Map<string, Save>();
  #closed = false;

  /** @throws {RangeError} when the key does not have 32 bytes. */
  constructor({ store, key, lookupMs }: VaultOptions) {
    this.store = store;
    this.#sealer = new Sealer(key ?? randomBytes(32), 'sessions', 'the key of stored sessions');
    this.#guard = new StoreGuard(lookupMs);
  }

  /** Makes a session id of 32 bytes. The last 8 are a mark by which {@link isOwn} recognises it. */
  makeId(): Uint8Array {
    const random = randomBytes(ID_BYTES - MARK_BYTES);
    return Buffer.concat([random, this.#mark(random)]);
  }

  /** Whether this vault's key made the id. The store is never asked about ids that clients make up. */
  isOwn(id: Uint8Array): boolean {
    return (
      !this.#closed &&
      id.length === ID_BYTES &&
      timingSafeEqual(this.#mark(id.subarray(0, ID_BYTES - MARK_BYTES)), id.subarray(ID_BYTES - MARK_BYTES))
    );
  }

  /**
   * Looks up a session. The answer is synchronous when the session is still being saved, or the store's answer is. It
   * never throws or rejects.
   */
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

  /** Saves a session. @returns a Promise that resolves when it is saved or lost; it never rejects. */
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

  /** Removes a session, also one that is still being saved. @throws the store's error. */
  async remove(id: Uint8Array): Promise<void> {
    const key = keyOf(id);
    const save = this.#saving.get(key);
    if (save !== undefined) {
      save.isRevoked = true;
      await save.done;
    }
    await this.store.remove(key);
  }

  /** Resolves when no save is under way. */
  async idle(): Promise<void> {
    await this.#guard.idle();
  }

  statistics(now: number): StoreStatistics {
    return this.#guard.statistics(now);
  }

  /** Wipes the keys. Connections that are still open then find and save nothing. It does not close the store. */
  close(): void {
    this.#closed = true;
    this.#sealer.close();
  }

  #mark(random: Uint8Array): Buffer {
    return this.#sealer.name(random).subarray(0, MARK_BYTES);
  }

  /** Seals the binding and the session for the id: the value does not open under another id. */
  #seal(id: Uint8Array, der: Uint8Array, { scope, serverName }: SessionBinding): Buffer {
    const name = Buffer.from(serverName ?? '');
    const length = Buffer.alloc(2);
    length.writeUInt16BE(name.length);
    return this.#sealer.seal(id, scope, length, name, der);
  }

  #open(id: Uint8Array, value: Uint8Array | undefined, binding: SessionBinding): Found {
    // The vault may have been closed while the store was asked.
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

/** A save that is under way. */
interface Save {
  readonly value: Uint8Array;
  /** Whether the session was removed during its save, so that it must not be found. */
  isRevoked: boolean;
  done: Promise<void> | undefined;
}

const keyOf = (id: Uint8Array): string => Buffer.from(id).toString('base64url');

// SSL_MAX_SSL_SESSION_ID_LENGTH.
const ID_BYTES = 32;
const MARK_BYTES = 8;
const SCOPE_BYTES = 32;
