/**
 * Measures a million sessions in the memory store. It runs alone in this process, because there is no peer to compare
 * it with.
 */
import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemorySessionStore } from '../protocols/tls/index.ts';

/** The costs of the store with this many sessions. */
export interface MemoryStoreResult {
  readonly sessions: number;
  /** Resident bytes for each session, including all overhead. */
  readonly bytesEach: number;
  /** Microseconds of one call, the median of batches. */
  readonly setMicroseconds: number;
  readonly getMicroseconds: number;
}

/** Fills a store and measures it at several sizes. The sessions have 300 bytes and realistic keys. */
export function measureMemoryStore(tell: (progress: string) => void): MemoryStoreResult[] {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const value = Buffer.alloc(VALUE_BYTES, 7);
  // One run first, for the JIT compiler.
  const small = new MemorySessionStore();
  for (let first = 0; first < 20 * BATCH; first += BATCH) {
    for (const key of keysFrom(first)) {
      small.set(key, value, 3_600_000);
      small.get(key);
    }
  }
  collect();
  const before = process.memoryUsage.rss();
  const store = new MemorySessionStore({ maxSessions: COUNTS.at(-1), maxBytes: 1024 ** 3 });
  const results: MemoryStoreResult[] = [];
  let stored = 0;
  for (const sessions of COUNTS) {
    const sets: number[] = [];
    for (; stored < sessions; stored += BATCH) {
      const keys = keysFrom(stored);
      sets.push(
        timed(() => {
          for (const key of keys) store.set(key, value, 3_600_000);
        }),
      );
      if (stored % 50_000 === 0) tell(`sessions/memory-store, ${stored} sessions`);
    }
    collect();
    const bytesEach = (process.memoryUsage.rss() - before) / sessions;
    const gets = Array.from({ length: 200 }, (_, index) => {
      const keys = keysFrom(BATCH * ((index * 7919) % (sessions / BATCH)));
      return timed(() => {
        for (const key of keys)
          if (store.get(key)?.length !== VALUE_BYTES) throw new Error(`the store has lost the session ${key}`);
      });
    });
    results.push({ sessions, bytesEach, setMicroseconds: median(sets.slice(-200)), getMicroseconds: median(gets) });
  }
  return results;
}

export function memoryStoreTable(results: readonly MemoryStoreResult[]): string {
  return [
    `sessions/memory-store: the store in memory, in this process; sessions of ${VALUE_BYTES} B, keys of 43 characters`,
    '  sessions   resident bytes each   set (µs)   get (µs)',
    ...results.map(
      ({ sessions, bytesEach, setMicroseconds, getMicroseconds }) =>
        `  ${sessions.toLocaleString('en').padEnd(9)}  ${bytesEach.toFixed(0).padStart(19)}   ${setMicroseconds.toFixed(2).padStart(8)}   ${getMicroseconds.toFixed(2).padStart(8)}`,
    ),
  ].join('\n');
}

function keysFrom(first: number): string[] {
  return Array.from({ length: BATCH }, (_, index) =>
    createHash('sha256')
      .update(String(first + index))
      .digest('base64url'),
  );
}

/** Microseconds for each call of a batch. */
function timed(batch: () => void): number {
  const startedAt = performance.now();
  batch();
  return ((performance.now() - startedAt) * 1000) / BATCH;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];

const BATCH = 1_000;
const COUNTS = [10_000, 100_000, 1_000_000];
const VALUE_BYTES = 300;
