/** Sessions of clients in a store that several processes or hosts share. */

import type { ResumptionMiss } from './resumption.ts';
import { Sealer } from './sealer.ts';
import { StoreGuard } from './store-guard.ts';
import type { StoreStatistics, TimeSource } from './store-guard.ts';
import { TTL_AT_MOST_MS, VALUE_AT_MOST } from './store.ts';
import type { TakingSessionStore } from './store.ts';

/** How clients share their sessions. */
export interface SharedSessionsOptions {
  readonly store: TakingSessionStore;
  readonly storeKey: Uint8Array;
  readonly lookupMs: number;
  /** How many sessions of one server. */
  readonly slots: number;
}

/** What was taken out of a store, in DER, or why nothing was. */
export type Taken = { readonly ders: readonly Uint8Array[] } | { readonly miss: ResumptionMiss };

/**
 * The sessions of each server lie in a few slots. Whoever takes, takes all slots at once, which costs one round trip and leaves a
 * session with one client only; whoever gives, gives to the next slot in turn.
 */
export class SharedSessions {
  readonly #store: TakingSessionStore;
  readonly #slots: number;
  readonly #sealer: Sealer;
  readonly #guard: StoreGuard;
  /** Several who share a store begin at different slots. */
  #next = Math.floor(Math.random() * SLOTS_AT_MOST);

  /** @throws {RangeError} when the key has not 32 bytes. */
  constructor({ store, storeKey, lookupMs, slots }: SharedSessionsOptions) {
    this.#store = store;
    this.#slots = Math.min(slots, SLOTS_AT_MOST);
    this.#sealer = new Sealer(storeKey, 'client sessions', 'storeKey');
    this.#guard = new StoreGuard(lookupMs);
  }

  /** Takes what there is under `key`. It never fails. @param late gets what comes when nobody waits any more. */
  async take(key: string, time: TimeSource, late: (ders: readonly Uint8Array[]) => void): Promise<Taken> {
    const names = Array.from({ length: this.#slots }, (_, slot) => this.#nameOf(key, slot));
    const open = (values: readonly unknown[]): readonly Uint8Array[] => names.map((name, slot) => this.#sealer.open(name, values[slot])).filter((der) => der !== undefined);
    const answer = await this.#guard.ask(() => Promise.all(names.map(async (name) => this.#store.take(name))), time, (values) => {
      late(open(values));
    });
    return 'miss' in answer ? answer : { ders: open(answer.value) };
  }

  /** Gives a session to whoever comes first, in its own time. @returns whether the store is well enough to try. */
  give(key: string, der: Uint8Array, ttlMs: number, time: TimeSource): boolean {
    const name = this.#nameOf(key, this.#next++ % this.#slots);
    const value = this.#sealer.seal(name, der);
    if (value.length > VALUE_AT_MOST) return false;
    return this.#guard.save(() => this.#store.set(name, value, Math.min(ttlMs, TTL_AT_MOST_MS)), time) !== undefined;
  }

  /** Forgets what there is under `key`. @throws what the store throws. */
  async forget(key: string): Promise<void> {
    for (let slot = 0; slot < this.#slots; slot++) await this.#store.remove(this.#nameOf(key, slot));
  }

  /** Resolves when nothing is being saved. */
  async idle(): Promise<void> {
    await this.#guard.idle();
  }

  statistics(now: number): StoreStatistics {
    return this.#guard.statistics(now);
  }

  /** Wipes the key. What is being saved still comes to the store. */
  close(): void {
    this.#sealer.close();
  }

  #nameOf(key: string, slot: number): string {
    return this.#sealer.name(`${String(slot)} ${key}`).toString('base64url');
  }
}

const SLOTS_AT_MOST = 16;
