/**
 * Sessions of a server in a store that is not trusted: sealed, bound to their id, asked for within a deadline of their own, and not
 * at all while the store is out of order.
 */

import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

import PQueue from 'p-queue';

import { isThenable } from '../thenable.ts';
import type { ResumptionMiss } from './resumption.ts';
import type { SessionStore } from './store.ts';
import { TTL_AT_MOST_MS, VALUE_AT_MOST } from './store.ts';

/** What time it is, and how to be woken: the reactor's, virtual in a simulation. */
export interface TimeSource {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls `wake` after `ms` milliseconds; @returns how to cancel that. */
  after(ms: number, wake: () => void): () => void;
}

/** How sessions are kept. */
export interface VaultOptions {
  readonly store: SessionStore;
  /** 32 secret bytes that seal what is stored; the same for all who share the store. Random unless given, and then only this context can read it. */
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

/** How the store fared. */
export interface VaultStatistics {
  readonly saved: number;
  /** Sessions that were not saved, because the store failed or had too much to do. */
  readonly lost: number;
  readonly failures: number;
  /** Whether the store is being left alone. */
  readonly resting: boolean;
}

export class Vault {
  readonly store: SessionStore;
  readonly #sealingKey: Buffer;
  readonly #markingKey: Buffer;
  readonly #lookupMs: number;
  readonly #saves = new PQueue({ concurrency: SAVES_AT_ONCE });
  #saved = 0;
  #lost = 0;
  #failures = 0;
  /** Failures since the last success. */
  #failuresInRow = 0;
  #restsUntil = -Infinity;
  #closed = false;

  /** @throws {RangeError} when the key has not 32 bytes. */
  constructor({ store, key, lookupMs }: VaultOptions) {
    if (key !== undefined && key.length !== 32) throw new RangeError(`the key of stored sessions has 32 bytes, not ${String(key.length)}`);
    const secret = key ?? randomBytes(32);
    this.store = store;
    this.#lookupMs = lookupMs;
    this.#sealingKey = createHmac('sha256', secret).update('wantio session sealing').digest();
    this.#markingKey = createHmac('sha256', secret).update('wantio session ids').digest();
  }

  /** Makes a session's id: 32 bytes, of which the last 8 show that it is one of ours. */
  makeId(): Uint8Array {
    const random = randomBytes(ID_BYTES - MARK_BYTES);
    return Buffer.concat([random, this.#mark(random)]);
  }

  /** Whether an id is one of ours: those that clients make up never reach the store. */
  isOwn(id: Uint8Array): boolean {
    return !this.#closed && id.length === ID_BYTES && timingSafeEqual(this.#mark(id.subarray(0, ID_BYTES - MARK_BYTES)), id.subarray(ID_BYTES - MARK_BYTES));
  }

  /** Looks for a session; at once when the store answers at once. It never fails. */
  find(id: Uint8Array, binding: SessionBinding, time: TimeSource): Found | Promise<Found> {
    if (!this.isOwn(id)) return { miss: 'unknown' };
    if (time.now() < this.#restsUntil) return { miss: 'store resting' };
    let answer;
    try {
      answer = this.store.get(keyOf(id));
    } catch {
      return this.#failed('store failed', time);
    }
    if (!isThenable(answer)) return this.#answered(id, answer, binding);
    return new Promise<Found>((resolve) => {
      let isLate = false;
      const cancel = time.after(this.#lookupMs, () => {
        isLate = true;
        resolve(this.#failed('store late', time));
      });
      answer.then((value) => {
        if (isLate) return;
        cancel();
        resolve(this.#answered(id, value, binding));
      }, () => {
        if (isLate) return;
        cancel();
        resolve(this.#failed('store failed', time));
      });
    });
  }

  /** Keeps a session, in its own time; @returns when that is done or given up. It never fails. */
  async save(id: Uint8Array, der: Uint8Array, binding: SessionBinding, ttlMs: number, time: TimeSource): Promise<void> {
    if (this.#closed) {
      this.#lost++;
      return;
    }
    const value = this.#seal(id, der, binding);
    if (this.#saves.size >= SAVES_WAITING || value.length > VALUE_AT_MOST || time.now() < this.#restsUntil) {
      this.#lost++;
      return;
    }
    await this.#saves.add(async () => {
      try {
        await this.store.set(keyOf(id), value, Math.min(ttlMs, TTL_AT_MOST_MS));
        this.#saved++;
      } catch {
        this.#lost++;
        this.#failed('store failed', time);
      }
    });
  }

  /** Forgets a session. @throws what the store throws. */
  async remove(id: Uint8Array): Promise<void> {
    await this.store.remove(keyOf(id));
  }

  statistics(now: number): VaultStatistics {
    return { saved: this.#saved, lost: this.#lost, failures: this.#failures, resting: now < this.#restsUntil };
  }

  /** Wipes the keys: connections that outlive it find and save nothing more. The store is its owner's to close. */
  close(): void {
    this.#closed = true;
    this.#sealingKey.fill(0);
    this.#markingKey.fill(0);
  }

  #answered(id: Uint8Array, value: Uint8Array | undefined, binding: SessionBinding): Found {
    this.#failuresInRow = 0;
    return this.#open(id, value, binding);
  }

  #failed(miss: ResumptionMiss, time: TimeSource): Found {
    this.#failures++;
    if (++this.#failuresInRow >= FAILURES_TO_REST) {
      this.#restsUntil = time.now() + Math.min(REST_AT_MOST_MS, REST_MS * 2 ** (this.#failuresInRow - FAILURES_TO_REST));
    }
    return { miss };
  }

  #mark(random: Uint8Array): Buffer {
    return createHmac('sha256', this.#markingKey).update(random).digest().subarray(0, MARK_BYTES);
  }

  /** The version, the nonce, the sealed binding and session, the tag. The id is bound in: a value under another id does not open. */
  #seal(id: Uint8Array, der: Uint8Array, { scope, serverName }: SessionBinding): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#sealingKey, nonce).setAAD(id);
    const name = Buffer.from(serverName ?? '');
    const length = Buffer.alloc(2);
    length.writeUInt16BE(name.length);
    const sealed = Buffer.concat([cipher.update(scope), cipher.update(length), cipher.update(name), cipher.update(der), cipher.final()]);
    return Buffer.concat([VERSION, nonce, sealed, cipher.getAuthTag()]);
  }

  #open(id: Uint8Array, value: Uint8Array | undefined, binding: SessionBinding): Found {
    if (value === undefined) return { miss: 'unknown' };
    // It may have been closed since the store was asked; and a store may answer anything.
    if (this.#closed || !(value instanceof Uint8Array)) return { miss: this.#closed ? 'unknown' : 'corrupted' };
    const plain = this.#unseal(id, value);
    if (plain === undefined || plain.length < SCOPE_BYTES + 2) return { miss: 'corrupted' };
    const nameEnd = SCOPE_BYTES + 2 + plain.readUInt16BE(SCOPE_BYTES);
    if (nameEnd > plain.length) return { miss: 'corrupted' };
    if (!plain.subarray(0, SCOPE_BYTES).equals(binding.scope)) return { miss: 'scope' };
    if (plain.subarray(SCOPE_BYTES + 2, nameEnd).toString() !== (binding.serverName ?? '')) return { miss: 'server name' };
    return { der: plain.subarray(nameEnd) };
  }

  #unseal(id: Uint8Array, value: Uint8Array): Buffer | undefined {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
    if (bytes.length < 1 + NONCE_BYTES + TAG_BYTES || bytes.length > VALUE_AT_MOST || bytes[0] !== VERSION[0]) return undefined;
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#sealingKey, bytes.subarray(1, 1 + NONCE_BYTES)).setAAD(id).setAuthTag(bytes.subarray(-TAG_BYTES));
      return Buffer.concat([decipher.update(bytes.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    } catch {
      return undefined;
    }
  }
}

const keyOf = (id: Uint8Array): string => Buffer.from(id).toString('base64url');

const VERSION = Buffer.from([1]);
// SSL_MAX_SSL_SESSION_ID_LENGTH.
const ID_BYTES = 32;
const MARK_BYTES = 8;
const SCOPE_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SAVES_AT_ONCE = 64;
const SAVES_WAITING = 4096;
const FAILURES_TO_REST = 5;
const REST_MS = 1_000;
const REST_AT_MOST_MS = 60_000;
