/** The keys that seal tickets: a ring of which one seals and several open. */

import { hkdfSync, randomBytes } from 'node:crypto';

import { onAbort } from '../../../core/on-abort.ts';
import { checkArgument, checkOptions, count, number, signal as signalRule } from '../../../core/options.ts';
import type { Rules } from '../../../core/options.ts';
import { Sealer } from './sealer.ts';
import { clock, secretKey, sessionStore } from '../../stores/store-rules.ts';
import { TTL_AT_MOST_MS } from '../../stores/store.ts';
import type { SessionStore } from '../../stores/store.ts';

/** How a ring turns. */
export interface TicketKeysOptions {
  /** How long one key seals, in milliseconds; 12 hours by default. */
  readonly rotateMs?: number | undefined;
  /** How many keys before the present one still open tickets; 2 by default. What they sealed is renewed. */
  readonly keep?: number | undefined;
  /**
   * Where to share the keys with others, so that all of them turn together. Each process has keys of its own unless
   * given.
   */
  readonly store?: SessionStore | undefined;
  /** 32 secret bytes that seal the keys in the store; the same for all who share it. Must be given with a store. */
  readonly storeKey?: Uint8Array | undefined;
  /** The wall clock in milliseconds, by which all who share the keys turn; `Date.now` unless given. */
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

/** How often tickets were sealed and opened. */
export interface TicketStatistics {
  /** Tickets that were sealed. */
  readonly sealed: number;
  /** Those among them that replaced one of an older key. */
  readonly renewed: number;
  /** Tickets whose key was there. */
  readonly opened: number;
  /** Tickets whose key was not there. */
  readonly unknown: number;
}

/** A key as OpenSSL wants it. */
export interface TicketKey {
  /** 16 bytes that stand in the ticket in the clear. */
  readonly name: Uint8Array;
  /** Of AES-256. */
  readonly cipherKey: Uint8Array;
  /** Of HMAC-SHA-256. */
  readonly macKey: Uint8Array;
}

/**
 * A ring of ticket keys that turns by the wall clock: time is cut into spans of `rotateMs`, and each span has a key of
 * its own. With a store the key of a span is laid down there one span ahead, by whoever comes first, so that everybody
 * has it when its time comes and nobody has to lead. Keys that open nothing any more are wiped.
 */
export class TicketKeys {
  readonly #rotateMs: number;
  readonly #keep: number;
  readonly #now: () => number;
  readonly #shared: SharedKeys | undefined;
  readonly #ring = new Map<number, TicketKey>();
  /** Tells whether the store has answered. */
  #refreshing: Promise<boolean> | undefined;
  #refreshedAt = -Infinity;
  #refreshes = 0;
  #closed = false;
  #sealed = 0;
  #renewed = 0;
  #opened = 0;
  #unknown = 0;

  /** @throws {RangeError | TypeError} when the options make no sense. */
  constructor(options: TicketKeysOptions = {}) {
    checkOptions('new TicketKeys', options, TICKET_KEYS_RULES);
    const { rotateMs = 12 * 3_600_000, keep = 2, store, storeKey, now = Date.now } = options;
    if ((store === undefined) !== (storeKey === undefined))
      throw new TypeError('shared ticket keys need both a store and its storeKey');
    this.#rotateMs = rotateMs;
    this.#keep = keep;
    this.#now = now;
    this.#shared = store === undefined || storeKey === undefined ? undefined : new SharedKeys(store, storeKey);
  }

  /**
   * Fetches the shared keys; a server does it before it begins, and they are looked after from then on. It never fails.
   * @param signal ends the waiting, not the fetching, such as `AbortSignal.timeout(5_000)`.
   * @returns whether the store has answered, or none is needed. Until it has, tickets are those of this process alone.
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

  /** The key to seal with now. @internal */
  sealing(renews = false): TicketKey {
    this.#turn();
    this.#sealed++;
    if (renews) this.#renewed++;
    const span = this.#span;
    let key = this.#ring.get(span);
    if (key === undefined) {
      // Without a store, or while it does not answer: tickets of this process alone.
      key = makeKey();
      this.#ring.set(span, key);
    }
    return key;
  }

  /** The key by which a ticket opens; `isOld` when the ticket should be replaced. @internal */
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

  /** Wipes all keys. Connections that outlive it get tickets that nobody else opens. */
  close(): void {
    this.#closed = true;
    for (const key of this.#ring.values()) wipe(key);
    this.#ring.clear();
    this.#shared?.close();
  }

  get #span(): number {
    return Math.floor(this.#now() / this.#rotateMs);
  }

  /** Wipes what is too old, also when the clock has jumped, and looks after the shared keys. */
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
    // The key of what is shared was wiped: nothing may be sealed with it any more.
    if (shared === undefined || this.#closed) return false;
    // A store that has not answered by the next time is asked again.
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
      // Keys of the past are only taken, those of now and next are laid down where there are none.
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
   * @returns the key of a span; with `ttlMs` one is laid down where there is none, if it `isWanted` still, and what
   * stands there after that counts.
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

/** The parts of a key from its secret, which is wiped. */
function keyFrom(secret: Buffer): TicketKey {
  const bytes = Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), 'wantio ticket key', 16 + 32 + 32));
  secret.fill(0);
  return { name: bytes.subarray(0, 16), cipherKey: bytes.subarray(16, 48), macKey: bytes.subarray(48) };
}

function wipe({ name, cipherKey, macKey }: TicketKey): void {
  for (const part of [name, cipherKey, macKey]) part.fill(0);
}

const SECRET_BYTES = 32;
