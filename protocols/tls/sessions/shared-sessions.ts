/** Sessions of clients in a store that several processes or hosts share. */

import type { TimeSource } from '../../../core/clock.ts';
import type { ResumptionMiss } from './resumption.ts';
import { Sealer } from './sealer.ts';
import { StoreGuard } from './store-guard.ts';
import type { StoreStatistics } from './store-guard.ts';
import { TTL_AT_MOST_MS, VALUE_AT_MOST } from '../../stores/store.ts';
import type { TakingSessionStore } from '../../stores/store.ts';

/** How clients share their sessions. */
export interface SharedSessionsOptions {
  readonly store: TakingSessionStore;
  readonly storeKey: Uint8Array;
  readonly lookupMs: number;
  /** How many sessions of one server. */
  readonly slots: number;
}

/**
 * The sessions of each server lie in a few slots. Whoever takes, takes all slots at once, which costs one round trip
 * and leaves a session with one client only; whoever gives, gives to the next slot in turn.
 */
export class SharedSessions {
  readonly #store: TakingSessionStore;
  readonly #slots: number;
  readonly #sealer: Sealer;
  readonly #guard: StoreGuard;
  /** What is on its way to each slot, by name, and what is being removed from there. */
  readonly #saving = new Map<string, Set<Save>>();
  readonly #removing = new Map<string, Promise<unknown>>();
  /** Several who share a store begin at different slots. */
  #next = Math.floor(Math.random() * SLOTS_AT_MOST);

  /** @throws {RangeError} when the key has not 32 bytes. */
  constructor({ store, storeKey, lookupMs, slots }: SharedSessionsOptions) {
    this.#store = store;
    this.#slots = Math.min(slots, SLOTS_AT_MOST);
    this.#sealer = new Sealer(storeKey, 'client sessions', 'storeKey');
    this.#guard = new StoreGuard(lookupMs);
  }

  /** Takes what there is under `key`, in DER. @throws what the store throws when nothing comes of it. */
  async take(key: string): Promise<Uint8Array[]> {
    const answers = await Promise.allSettled(
      this.#namesOf(key).map(async (name) => this.#sealer.open(name, await this.#store.take(name))),
    );
    const ders = answers
      .map((answer) => (answer.status === 'fulfilled' ? answer.value : undefined))
      .filter((der) => der !== undefined);
    const failed = answers.find((answer) => answer.status === 'rejected');
    if (ders.length === 0 && failed !== undefined) throw failed.reason;
    return ders;
  }

  /**
   * Waits for what asks the store, unless that is left alone, and no longer than it may.
   * @returns why there is no answer, if there is none.
   */
  async ask(question: () => Promise<void>, time: TimeSource): Promise<ResumptionMiss | undefined> {
    const answer = await this.#guard.ask(question, time);
    return 'miss' in answer ? answer.miss : undefined;
  }

  /** Gives a session to whoever comes first, in its own time. @returns whether the store is well enough to try. */
  give(key: string, der: Uint8Array, ttlMs: number, time: TimeSource): boolean {
    const name = this.#nameOf(key, this.#next++ % this.#slots);
    const value = this.#sealer.seal(name, der);
    if (value.length > VALUE_AT_MOST) return false;
    const save: Save = { isWanted: true, done: undefined };
    const removed = this.#removing.get(name);
    save.done = this.#guard.save(async () => {
      if (removed !== undefined) await removed;
      if (save.isWanted) await this.#store.set(name, value, Math.min(ttlMs, TTL_AT_MOST_MS));
    }, time);
    if (save.done === undefined) return false;
    const saving = this.#saving.get(name) ?? new Set();
    this.#saving.set(name, saving.add(save));
    void save.done.then(() => {
      saving.delete(save);
      if (saving.size === 0 && this.#saving.get(name) === saving) this.#saving.delete(name);
    });
    return true;
  }

  /** Forgets what there is under `key`, in its own time, if the store is well enough. */
  erase(key: string, time: TimeSource): void {
    const erased = this.#guard.erase(() => this.forget(key), time);
    if (erased === undefined) return;
    // What is given from now on comes after that.
    for (const name of this.#namesOf(key)) this.#removing.set(name, erased);
    void erased.then(() => {
      for (const name of this.#namesOf(key)) if (this.#removing.get(name) === erased) this.#removing.delete(name);
    });
  }

  /** Forgets what there is under `key`. @throws what the store throws. */
  async forget(key: string): Promise<void> {
    await Promise.all(this.#namesOf(key).map((name) => this.#remove(name)));
  }

  /** Removes what lies in a slot, and what is on its way there. */
  async #remove(name: string): Promise<void> {
    const saving = [...(this.#saving.get(name) ?? [])];
    for (const save of saving) save.isWanted = false;
    await Promise.all(saving.map(async ({ done }) => done));
    await this.#store.remove(name);
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

  #namesOf(key: string): string[] {
    return Array.from({ length: this.#slots }, (_, slot) => this.#nameOf(key, slot));
  }

  #nameOf(key: string, slot: number): string {
    return this.#sealer.name(`${String(slot)} ${key}`).toString('base64url');
  }
}

/** A value on its way to the store. */
interface Save {
  /** Whether it is still to come there. */
  isWanted: boolean;
  done: Promise<void> | undefined;
}

const SLOTS_AT_MOST = 16;
