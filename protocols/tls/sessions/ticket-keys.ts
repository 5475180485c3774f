/** The keys that encrypt tickets: a ring in which one key seals and several keys open. */

import { hkdfSync, randomBytes } from 'node:crypto';

import { onAbort } from '../../../core/on-abort.ts';
import { checkArgument, checkOptions, count, number, signal as signalRule } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { Sealer } from './sealer.ts';
import { clock, secretKey, sessionStore } from '../../stores/store-rules.ts';
import { TTL_AT_MOST_MS } from '../../stores/store.ts';
import type { SessionStore } from '../../stores/store.ts';

/** The options of {@link TicketKeys}. */
export interface TicketKeysOptions {
  /** How long one key seals tickets, in milliseconds, at least 1,000; 12 hours by default. */
  readonly rotateMs?: number | undefined;
  /** How many earlier keys still open tickets; 2 by default. A ticket of an earlier key is replaced by a new one. */
  readonly keep?: number | undefined;
  /**
   * A store through which several processes share the keys and rotate them together. By default each process has its
   * own keys.
   */
  readonly store?: SessionStore | undefined;
  /**
   * 32 secret bytes that encrypt the keys in the store; required with a store. All processes that share the store need
   * the same bytes.
   */
  readonly storeKey?: Uint8Array | undefined;
  /** The wall clock in milliseconds, by which the keys rotate; `Date.now` by default. */
  readonly now?: (() => number) | undefined;
}

export const TICKET_KEYS_RULES = {
  rotateMs: number(
    'a number of milliseconds of at least a second (1000)',
    (value) => value >= 1_000 && value < Infinity,
  ),
  keep: count(0, 100),
  store: sessionStore,
  storeKey: secretKey,
  now: clock,
} satisfies Rules<TicketKeysOptions>;

/** Counts of sealed and opened tickets. */
export interface TicketStatistics {
  /** Tickets that were sealed. */
  readonly sealed: number;
  /** Sealed tickets that replaced a ticket of an older key. */
  readonly renewed: number;
  /** Tickets whose key was in the ring. */
  readonly opened: number;
  /** Tickets whose key was not in the ring. */
  readonly unknown: number;
}

/** A ticket key in the parts that OpenSSL needs. */
export interface TicketKey {
  /** 16 bytes that identify the key; they are not encrypted in the ticket. */
  readonly name: Uint8Array;
  /** The key of AES-256. */
  readonly cipherKey: Uint8Array;
  /** The key of HMAC-SHA-256. */
  readonly macKey: Uint8Array;
}

/**
 * A ring of ticket keys that rotates by the wall clock: time is divided into spans of `rotateMs`, and each span has its
 * own key. With a store, the first process to refresh its keys stores the key of the next span one span in advance. So
 * all processes have the key when its span begins, and no process needs to be the leader. Keys that are too old to open
 * tickets are wiped.
 */
export class TicketKeys {
  readonly #rotateMs: number;
  readonly #keep: number;
  readonly #now: () => number;
  readonly #shared: SharedKeys | undefined;
  readonly #ring = new Map<number, TicketKey>();
  /** Resolves with whether the store has answered. */
  #refreshing: Promise<boolean> | undefined;
  #refreshedAt = -Infinity;
  #refreshes = 0;
  #closed = false;
  #sealed = 0;
  #renewed = 0;
  #opened = 0;
  #unknown = 0;

  /** @throws {RangeError | TypeError} when an option is invalid, or only one of `store` and `storeKey` is given. */
  constructor(options: TicketKeysOptions = {}) {
    checkOptions('new TicketKeys', options, TICKET_KEYS_RULES);
    const { rotateMs = 12 * 3_600_000, keep = 2, store, storeKey, now = Date.now } = options;
    if ((store === undefined) !== (storeKey === undefined))
      throw new TypeError('shared ticket keys need both a store and a storeKey');
    this.#rotateMs = rotateMs;
    this.#keep = keep;
    this.#now = now;
    this.#shared = store === undefined || storeKey === undefined ? undefined : new SharedKeys(store, storeKey);
  }

  /**
   * Fetches the shared keys. Call it before the server starts; afterwards the keys are refreshed automatically. It
   * never rejects, except for an invalid `signal`.
   * @param signal ends the wait but not the fetch, for example `AbortSignal.timeout(5_000)`.
   * @returns whether the store has answered, or there is no store. Until it has, only this process opens its tickets.
   */
  async ready(signal?: AbortSignal): Promise<boolean> {
    if (signal !== undefined) checkArgument('ready', 'the signal', signal, signalRule);
    if (this.#shared === undefined) return true;
    const refreshed = this.#refresh();
    if (signal === undefined) return refreshed;
    if (signal.aborted) return false;
    return new Promise((resolve) => {
      const stop = onAbort(signal, () => {
        resolve(false);
      });
      void refreshed.then((answered) => {
        stop();
        resolve(answered);
      });
    });
  }

  /** The key that seals tickets now. @param renews whether the ticket replaces one of an older key. @internal */
  sealing(renews = false): TicketKey {
    this.#turn();
    this.#sealed++;
    if (renews) this.#renewed++;
    const span = this.#span;
    let key = this.#ring.get(span);
    if (key === undefined) {
      // Without a store, or while it does not answer, the key is known to this process only.
      key = makeKey();
      this.#ring.set(span, key);
    }
    return key;
  }

  /** The key that opens a ticket, by its name; `isOld` when the ticket should be replaced. @internal */
  opening(name: Uint8Array): { readonly key: TicketKey; readonly isOld: boolean } | undefined {
    this.#turn();
    for (const [span, key] of this.#ring) {
      if (!Buffer.from(key.name).equals(name)) continue;
      this.#opened++;
      return { key, isOld: span < this.#span };
    }
    this.#unknown++;
    return undefined;
  }

  get statistics(): TicketStatistics {
    return { sealed: this.#sealed, renewed: this.#renewed, opened: this.#opened, unknown: this.#unknown };
  }

  /** How many keys the ring holds. */
  get size(): number {
    return this.#ring.size;
  }

  /** Wipes all keys. Connections that are still open afterwards get tickets that no other process can open. */
  close(): void {
    this.#closed = true;
    for (const key of this.#ring.values()) wipe(key);
    this.#ring.clear();
    this.#shared?.close();
  }

  get #span(): number {
    return Math.floor(this.#now() / this.#rotateMs);
  }

  /** Wipes keys outside of the ring's spans, also after a jump of the clock, and refreshes the shared keys when due. */
  #turn(): void {
    const span = this.#span;
    for (const [each, key] of this.#ring) {
      if (each >= span - this.#keep && each <= span + 1) continue;
      wipe(key);
      this.#ring.delete(each);
    }
    if (this.#isDue) void this.#refresh();
  }

  get #isDue(): boolean {
    const now = this.#now();
    return now - this.#refreshedAt > this.#rotateMs / 8 || now < this.#refreshedAt;
  }

  async #refresh(): Promise<boolean> {
    const shared = this.#shared;
    // After close() the storeKey is wiped, and nothing may be sealed with it.
    if (shared === undefined || this.#closed) return false;
    // A refresh is due although the last one has not ended: the store is asked again.
    if (this.#refreshing === undefined || this.#isDue) {
      this.#refreshedAt = this.#now();
      const refreshing = this.#fetch(shared, ++this.#refreshes)
        .then(
          () => true,
          () => false,
        )
        .finally(() => {
          if (this.#refreshing === refreshing) this.#refreshing = undefined;
        });
      this.#refreshing = refreshing;
    }
    return this.#refreshing;
  }

  async #fetch(shared: SharedKeys, number: number): Promise<void> {
    const isCurrent = (): boolean => !this.#closed && number === this.#refreshes;
    const span = this.#span;
    for (let each = span - this.#keep; each <= span + 1 && isCurrent(); each++) {
      // Past keys are only read. The present and the next key are stored if they are missing.
      const key = await shared.fetch(each, each >= span ? this.#rotateMs * (this.#keep + 3) : undefined, isCurrent);
      if (key === undefined || !isCurrent()) continue;
      const before = this.#ring.get(each);
      if (before !== undefined) wipe(before);
      this.#ring.set(each, key);
    }
  }
}

/** Ticket keys in a store, sealed. */
class SharedKeys {
  readonly #store: SessionStore;
  readonly #sealer: Sealer;

  constructor(store: SessionStore, storeKey: Uint8Array) {
    this.#store = store;
    this.#sealer = new Sealer(storeKey, 'ticket keys', 'storeKey');
  }

  /**
   * @returns the key of a span. If it is missing, and `ttlMs` is given and `isWanted` still holds, a new key is stored,
   * and the store is read again: another process may have stored its key instead.
   */
  async fetch(span: number, ttlMs: number | undefined, isWanted: () => boolean): Promise<TicketKey | undefined> {
    const name = `ticket-key-${this.#sealer.name(String(span)).toString('base64url').slice(0, 32)}`;
    const found = this.#open(name, await this.#store.get(name));
    if (found !== undefined || ttlMs === undefined || !isWanted()) return found;
    await this.#store.set(name, this.#sealer.seal(name, randomBytes(SECRET_BYTES)), Math.min(ttlMs, TTL_AT_MOST_MS));
    return this.#open(name, await this.#store.get(name));
  }

  close(): void {
    this.#sealer.close();
  }

  #open(name: string, value: Uint8Array | undefined): TicketKey | undefined {
    const secret = this.#sealer.open(name, value);
    return secret?.length === SECRET_BYTES ? keyFrom(secret) : undefined;
  }
}

function makeKey(): TicketKey {
  return keyFrom(randomBytes(SECRET_BYTES));
}

/** Derives the parts of a key from its secret, and wipes the secret. */
function keyFrom(secret: Buffer): TicketKey {
  const bytes = Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), 'wantio ticket key', 16 + 32 + 32));
  secret.fill(0);
  return { name: bytes.subarray(0, 16), cipherKey: bytes.subarray(16, 48), macKey: bytes.subarray(48) };
}

function wipe({ name, cipherKey, macKey }: TicketKey): void {
  for (const part of [name, cipherKey, macKey]) part.fill(0);
}

const SECRET_BYTES = 32;
