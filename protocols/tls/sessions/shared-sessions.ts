/** The sessions of clients in a store that several processes or hosts share. */

import type { TimeSource } from '../../../core/clock.ts';
import type { ResumptionMiss } from './resumption.ts';
import { Sealer } from './sealer.ts';
import { StoreGuard } from './store-guard.ts';
import type { StoreStatistics } from './store-guard.ts';
import { TTL_AT_MOST_MS, VALUE_AT_MOST } from '../../stores/store.ts';
import type { TakingSessionStore } from '../../stores/store.ts';

/** The options of {@link SharedSessions}. */
export interface SharedSessionsOptions {
  readonly store: TakingSessionStore;
  readonly storeKey: Uint8Array;
  readonly lookupMs: number;
  /** How many sessions of one server are stored. */
  readonly slots: number;
}

/**
 * Shares sessions among clients by a store. The sessions of each server lie in a few slots. A client takes all slots at
 * once: this costs one round trip, and only that client then has these sessions. A client that gives a session writes
 * it into the next slot in turn.
 */
export class SharedSessions {
  readonly #store: TakingSessionStore;
  readonly #slots: number;
  readonly #sealer: Sealer;
  readonly #guard: StoreGuard;
  /** The saves that are under way to each slot, and the removals from it, by the slot's name. */
  readonly #saving = new Map<string, Set<Save>>();
  readonly #removing = new Map<string, Promise<unknown>>();
  /** Begins at random, so that processes that share a store do not all write the same slot. */
  #next = Math.floor(Math.random() * SLOTS_AT_MOST);

  /** @throws {RangeError} when the key does not have 32 bytes. */
  constructor({ store, storeKey, lookupMs, slots }: SharedSessionsOptions) {
    this.#store = store;
    this.#slots = Math.min(slots, SLOTS_AT_MOST);
    this.#sealer = new Sealer(storeKey, 'client sessions', 'storeKey');
    this.#guard = new StoreGuard(lookupMs);
  }

  /** Takes the sessions of `key`, in DER. @throws the store's error when no slot gave a session and one failed. */
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
   * Runs `question` and waits for it at most `lookupMs`. It does not run while the store is resting after failures.
   * @returns why there is no answer; `undefined` when there is one.
   */
  async ask(question: () => Promise<void>, time: TimeSource): Promise<ResumptionMiss | undefined> {
    const answer = await this.#guard.ask(question, time);
    return 'miss' in answer ? answer.miss : undefined;
  }

  /**
   * Begins to store a session for the next client that takes it.
   * @returns whether the save was begun: not when the store rests or has too many saves, or the session is too long.
   */
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

  /** Begins to remove the sessions of `key`, unless the store rests or has too many tasks. */
  erase(key: string, time: TimeSource): void {
    const erased = this.#guard.erase(() => this.forget(key), time);
    if (erased === undefined) return;
    // Saves that begin from now on wait for the removal, so that it does not remove them.
    for (const name of this.#namesOf(key)) this.#removing.set(name, erased);
    void erased.then(() => {
      for (const name of this.#namesOf(key)) if (this.#removing.get(name) === erased) this.#removing.delete(name);
    });
  }

  /** Removes the sessions of `key`. @throws the store's error. */
  async forget(key: string): Promise<void> {
    await Promise.all(this.#namesOf(key).map((name) => this.#remove(name)));
  }

  /** Cancels the saves that are under way to a slot, and empties it. */
  async #remove(name: string): Promise<void> {
    const saving = [...(this.#saving.get(name) ?? [])];
    for (const save of saving) save.isWanted = false;
    await Promise.all(saving.map(async ({ done }) => done));
    await this.#store.remove(name);
  }

  /** Resolves when no save is under way. */
  async idle(): Promise<void> {
    await this.#guard.idle();
  }

  statistics(now: number): StoreStatistics {
    return this.#guard.statistics(now);
  }

  /** Wipes the key. Saves that are under way still reach the store. */
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

/** A save that is under way. */
interface Save {
  /** Whether the value is still to be stored. */
  isWanted: boolean;
  done: Promise<void> | undefined;
}

const SLOTS_AT_MOST = 16;
